// Builds the app into a folder that the server serves as it is.
//
//     node build.mjs FOLDER
//
// Everything but the shell page has the hash of its content in its name and may be kept for ever. `manifest.json` lists
// every file with its SHA-256: the same sources give the same bytes in any folder, on any machine.
// Exit codes: 0; 1 the sources do not build, esbuild says why; 2 wrong usage.

import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
/** Under one name for ever, so that browsers find the next one; at the root, so that it may look after every page. */
const SERVICE_WORKER = "/service-worker.js";
const TYPES = {
  ".css": "text/css",
  ".html": "text/html",
  ".js": "text/javascript",
  ".svg": "image/svg+xml",
  ".txt": "text/plain",
};
const OPTIONS = {
  absWorkingDir: HERE,
  bundle: true,
  charset: "utf8",
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  format: "esm",
  legalComments: "none",
  logLevel: "error",
  metafile: true,
  minify: true,
  outdir: "assets",
  platform: "browser",
  splitting: true,
  target: "es2022",
  tsconfigRaw: {},
  write: false,
};

/** Bundles one entry; returns the path of its main file beneath the root, and adds all its files. */
async function bundle(entry, files, more = {}) {
  const { outputFiles, metafile } = await build({ ...OPTIONS, entryPoints: [entry], ...more });
  for (const output of outputFiles) {
    files.set(`/assets/${basename(output.path)}`, Buffer.from(output.contents));
  }
  const [main] = Object.entries(metafile.outputs).find(([, output]) => output.entryPoint === entry);
  return `/assets/${basename(main)}`;
}

/** The licence texts of what is bundled, as its authors ask. */
async function notices(packages) {
  const texts = [];
  for (const name of packages) {
    const folder = join(HERE, "node_modules", name);
    const { version, license } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    const text = await readFile(join(folder, "LICENSE"), "utf8");
    texts.push(`${name} ${version} (${license})\n\n${text.trim()}\n`);
  }
  return Buffer.from(texts.join(`\n${"-".repeat(80)}\n\n`));
}

function digest(algorithm, encoding, bytes) {
  return createHash(algorithm).update(bytes).digest(encoding);
}

function integrity(bytes) {
  return `sha384-${digest("sha384", "base64", bytes)}`;
}

async function site() {
  const files = new Map();
  const worker = await bundle("sdk/src/worker/worker.ts", files);
  const define = { RAPPORT_WORKER: JSON.stringify(worker), RAPPORT_SERVICE_WORKER: JSON.stringify(SERVICE_WORKER) };
  const app = await bundle("app/src/main.ts", files, { define });
  const style = await bundle("app/src/app.css", files);
  const filled = { app, style, appIntegrity: integrity(files.get(app)), styleIntegrity: integrity(files.get(style)) };
  const shell = await readFile(join(HERE, "app/index.html"), "utf8");
  files.set("/", Buffer.from(shell.replaceAll(/\{\{(\w+)\}\}/g, (_, name) => filled[name])));
  for (const name of await readdir(join(HERE, "app/static"))) {
    files.set(`/${name}`, await readFile(join(HERE, "app/static", name)));
  }
  const { dependencies } = JSON.parse(await readFile(join(HERE, "app/bundled.json"), "utf8"));
  files.set("/notices.txt", await notices(dependencies));
  files.set(SERVICE_WORKER, await serviceWorker(files));
  return files;
}

/** The service worker, which knows every other file: a change of any of them makes it another one. */
async function serviceWorker(files) {
  const paths = [...files.keys()].sort();
  const all = digest(
    "sha256",
    "hex",
    paths.map((path) => `${path} ${digest("sha256", "hex", files.get(path))}\n`).join(""),
  );
  const define = { RAPPORT_FILES: JSON.stringify(paths), RAPPORT_BUILD: JSON.stringify(all.slice(0, 16)) };
  const entryPoints = ["app/service-worker/service-worker.ts"];
  const { outputFiles } = await build({ ...OPTIONS, entryPoints, define, splitting: false });
  return Buffer.from(outputFiles[0].contents);
}

function describe(path, bytes) {
  const name = path === "/" ? "index.html" : path.slice(1);
  const type = TYPES[name.slice(name.lastIndexOf("."))];
  return { path, file: name, type, sha256: digest("sha256", "hex", bytes), bytes: bytes.length };
}

/** Writes the site unless it is there already: whoever reads the folder meanwhile never sees half of another one. */
async function main(folder) {
  const files = new Map([...(await site())].sort(([left], [right]) => (left < right ? -1 : 1)));
  const listed = [...files].map(([path, bytes]) => describe(path, bytes));
  const manifest = `${JSON.stringify({ version: 1, files: listed }, null, 1)}\n`;
  if ((await readFile(join(folder, "manifest.json"), "utf8").catch(() => "")) === manifest) {
    return;
  }
  await rm(folder, { recursive: true, force: true });
  for (const { path, file } of listed) {
    await mkdir(dirname(join(folder, file)), { recursive: true });
    await writeFile(join(folder, file), files.get(path));
  }
  await writeFile(join(folder, "manifest.json"), manifest);
}

const [folder, ...rest] = process.argv.slice(2);
if (folder === undefined || rest.length > 0) {
  process.stderr.write("usage: node build.mjs FOLDER\n");
  process.exit(2);
}
await main(folder);
