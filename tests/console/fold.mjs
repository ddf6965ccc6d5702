// Folds the payloads of a deployment as its page does, and prints the deployment after each: a line of JSON for a line.
//
//   node fold.mjs CONSOLE

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { createInterface } from "node:readline";

const console_ = resolve(process.argv[2]);
const typescript = createRequire(`${console_}/package.json`)("typescript");
const { outputText } = typescript.transpileModule(readFileSync(`${console_}/src/deployment/state.ts`, "utf8"), {
  compilerOptions: { module: typescript.ModuleKind.ESNext, target: typescript.ScriptTarget.ES2022 },
});
const { fold } = await import(`data:text/javascript,${encodeURIComponent(outputText)}`);

for await (const line of createInterface({ input: process.stdin })) {
  const states = [];
  for (const changes of JSON.parse(line)) states.push(fold(states.at(-1) ?? null, changes));
  process.stdout.write(`${JSON.stringify(states)}\n`);
}
