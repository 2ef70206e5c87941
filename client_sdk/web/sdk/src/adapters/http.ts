/**
 * `Api` of `ports.ts` on the platform's fetch: one request, one typed answer or one typed refusal.
 *
 * Source: docs/protocol.md, "HTTP operations" and "Errors".
 */

import { type Api, type CallOptions, Unreachable } from "../ports.ts";
import { concat, fromUtf8 } from "../protocol/bytes.ts";
import { decodeResponse, encodeRequest } from "../protocol/codec.ts";
import { type ErrorCode, RETRY } from "../protocol/codes.ts";
import { FormatError, Rejected } from "../protocol/errors.ts";
import { OPERATIONS, type OperationName, type RequestOf, type ResponseOf } from "../protocol/requests.ts";

/** Milliseconds for a whole request: a mobile network at its worst, and less than people wait. */
export const ANSWER_WITHIN_MS = 20_000;
/** Largest answer read; a page of history is cut at 1 MiB, the longest chain of device lists is below. */
const ANSWER_BYTES = 4 * 1024 * 1024;

const MSGPACK = "application/msgpack";
const PROBLEM = "application/problem+json";

/** The operations of the server at `origin` (`originOf`). */
export class HttpApi implements Api {
  private readonly origin: string;
  private closing = new AbortController();

  constructor(origin: string) {
    this.origin = origin;
  }

  /** See `Api.call`. A redirect is no answer: the address that a person was given is the one that is asked. */
  async call<Name extends OperationName>(
    operation: Name,
    body: RequestOf<Name>,
    options: CallOptions = {},
  ): Promise<ResponseOf<Name>> {
    const [method, path] = OPERATIONS[operation];
    const headers = new Headers({ Accept: MSGPACK });
    if (options.token != null && options.token.length > 0) {
      headers.set("Authorization", `Bearer ${base64url(options.token)}`);
    }
    const request: RequestInit = { method, headers, redirect: "error", cache: "no-store" };
    const content = encodeRequest(operation, body);
    if (content !== null) {
      headers.set("Content-Type", MSGPACK);
      request.body = Uint8Array.from(content);
    }
    // No cookies, and no page's address told: the server learns who asks from the token alone.
    const quiet = { credentials: "omit", referrerPolicy: "no-referrer" } as const;
    const signals = [AbortSignal.timeout(ANSWER_WITHIN_MS), this.closing.signal];
    const signal = AbortSignal.any(options.signal === undefined ? signals : [...signals, options.signal]);
    const answer = await exchange(this.url(path, options), { ...request, ...quiet, signal });
    if (answer.status === 200 && answer.kind === MSGPACK) {
      return decodeResponse(operation, answer.content);
    }
    if (answer.kind !== PROBLEM) {
      throw new Unreachable(); // a proxy's or a portal's page: the request did not reach a Rapport server
    }
    throw refusal(answer.content);
  }

  /** Gives up what is under way; a later call works again. */
  async close(): Promise<void> {
    this.closing.abort();
    this.closing = new AbortController();
  }

  private url(template: string, options: CallOptions): string {
    const path = template.replace(/\{(\w+)\}/g, (_, name: string) => options.path?.[name] ?? "");
    const query = Object.entries(options.query ?? {}).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
    return this.origin + path + (query.length > 0 ? `?${query.join("&")}` : "");
  }
}

interface Answer {
  readonly status: number;
  readonly kind: string;
  readonly content: Uint8Array;
}

async function exchange(url: string, request: RequestInit): Promise<Answer> {
  try {
    const response = await fetch(url, request);
    const kind = response.headers.get("Content-Type")?.split(";")[0]?.trim().toLowerCase() ?? "";
    return { status: response.status, kind, content: await read(response) };
  } catch (error) {
    throw error instanceof FormatError ? error : new Unreachable();
  }
}

async function read(response: Response): Promise<Uint8Array> {
  const reader = response.body?.getReader();
  const parts: Uint8Array[] = [];
  let size = 0;
  for (let part = await reader?.read(); part?.value !== undefined; part = await reader?.read()) {
    size += part.value.length;
    if (size > ANSWER_BYTES) {
      reader?.cancel().catch(() => undefined); // nobody waits for it
      throw new FormatError("answer too large", "too_large");
    }
    parts.push(part.value);
  }
  return concat(...parts);
}

/** The refusal that a problem document says. A code of a later version is treated as its `retryable` flag says. */
function refusal(content: Uint8Array): Rejected {
  let problem: unknown;
  try {
    problem = JSON.parse(fromUtf8(content));
  } catch {
    problem = null;
  }
  if (typeof problem !== "object" || problem === null || !("code" in problem) || typeof problem.code !== "string") {
    throw new FormatError("malformed problem", "bad_frame");
  }
  const title = "title" in problem && typeof problem.title === "string" ? problem.title : "";
  const after = "retry_after_ms" in problem ? Number(problem.retry_after_ms) : 0;
  const retryable = "retryable" in problem && problem.retryable === true;
  const repeated = retryable && !Object.hasOwn(RETRY, problem.code);
  const code = repeated ? "unavailable" : (problem.code as ErrorCode); // whatever is not known is refused for good
  return new Rejected(code, title, Number.isSafeInteger(after) && after > 0 ? after : 0);
}

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replace(/[+/=]/g, (sign) => ({ "+": "-", "/": "_" })[sign] ?? "");
}
