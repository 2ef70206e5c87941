/** The worker of a page that was bundled by `chromium.ts`. */

/** The worker's program; the bundler puts it here. */
declare const RAPPORT_WORKER_SOURCE: string;

/** A worker from the program that came with the page. */
export function startWorker(): Worker {
  const url = URL.createObjectURL(new Blob([RAPPORT_WORKER_SOURCE], { type: "text/javascript" }));
  return new Worker(url, { type: "module" });
}
