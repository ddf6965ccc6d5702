import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const PAGE = "../server/console/page";

/** Write a `.gz` beside each asset, so that the server compresses nothing. */
function compressed(): Plugin {
  return {
    name: "compressed",
    apply: "build",
    writeBundle({ dir = PAGE }) {
      const folder = join(dir, "assets");
      for (const name of readdirSync(folder)) {
        const file = join(folder, name);
        writeFileSync(`${file}.gz`, gzipSync(readFileSync(file), { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  plugins: [react(), compressed()],
  base: "./", // the server makes the addresses in index.html absolute, below its root path
  build: {
    outDir: PAGE,
    emptyOutDir: true,
    target: "es2023",
    assetsInlineLimit: 0, // the Content-Security-Policy allows no data: addresses
    modulePreload: { polyfill: false },
    license: { fileName: "licences.md" },
  },
  server: {
    proxy: { "/graphql": { target: process.env["STAGELINE_URL"] ?? "http://127.0.0.1:8000", ws: true } },
  },
});
