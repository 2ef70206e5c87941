/** Builds the gallery into a static folder: `node elements/gallery/build.ts [folder]`. */

import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const HERE = fileURLToPath(new URL(".", import.meta.url));

/** Where the gallery is built to unless said otherwise. */
export const GALLERY: string = fileURLToPath(new URL("../../build/gallery/", import.meta.url));

/** Writes index.html, gallery.css and gallery.js. folder: made where it does not exist. */
export async function buildGallery(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await build({
    entryPoints: [join(HERE, "gallery.ts")],
    outfile: join(folder, "gallery.js"),
    bundle: true,
    format: "esm",
    target: "es2023",
    minify: true,
    logLevel: "error",
  });
  for (const name of ["index.html", "gallery.css"]) {
    await copyFile(join(HERE, name), join(folder, name));
  }
}

if (import.meta.main) {
  await buildGallery(process.argv[2] ?? GALLERY);
}
