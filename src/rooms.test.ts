/**
 * Guards the house: the linter's room table equals the one in ARCHITECTURE.md, and a deliberate
 * violation of each kind is found (linters fail silently).
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

const root = new URL("..", import.meta.url).pathname;

interface Override {
  files: string[];
  rules: { "no-restricted-imports"?: [string, { patterns: { group: string[] }[] }] | string };
}

test("ARCHITECTURE.md and the linter have the same room table", () => {
  const documented = new Map<string, string>();
  for (const line of readFileSync(join(root, "ARCHITECTURE.md"), "utf8").split("\n")) {
    const row = /^\| `(\w+)`(?: \(P\))? \|[^|]*\| ([^|]+) \|$/.exec(line);
    if (row?.[1] !== undefined && row[2] !== undefined) documented.set(row[1], row[2].trim());
  }
  const enforced = new Map<string, string>();
  const config = JSON.parse(readFileSync(join(root, ".oxlintrc.json"), "utf8")) as { overrides: Override[] };
  for (const override of config.overrides) {
    const room = /^src\/(\w+)\/\*\.ts$/.exec(override.files[0] ?? "")?.[1];
    const rule = override.rules["no-restricted-imports"];
    if (room === undefined || !Array.isArray(rule)) continue;
    const allowed = (rule[1].patterns[0]?.group ?? [])
      .map((pattern) => /^!\\#(\w+)\//.exec(pattern)?.[1])
      .filter((each) => each !== undefined && each !== room);
    enforced.set(room, allowed.length === 0 ? "nothing" : allowed.join(", "));
  }
  assert.ok(enforced.size >= 19, "the linter's table is complete");
  for (const [room, allowed] of enforced) assert.equal(documented.get(room), allowed, `row of ${room}`);
});

test("the linter finds a deliberate violation of each house rule", () => {
  const violations: Record<string, { file: string; text: string; rule: string }> = {
    crossing: {
      file: "src/kinds/violation.ts",
      text: 'import { x } from "#api/x.ts";\nexport const y = x;\n',
      rule: "no-restricted-imports",
    },
    relative: {
      file: "src/kinds/violation.ts",
      text: 'import { x } from "../api/x.ts";\nexport const y = x;\n',
      rule: "no-restricted-imports",
    },
    impure: {
      file: "src/raft/violation.ts",
      text: 'import { readFileSync } from "node:fs";\nexport const y = readFileSync;\n',
      rule: "no-restricted-imports",
    },
    timer: {
      file: "src/raft/violation.ts",
      text: "export function f(): void { setTimeout(() => undefined, 1); }\n",
      rule: "no-restricted-globals",
    },
    floating: {
      file: "src/api/violation.ts",
      text: "async function g(): Promise<void> {}\nexport function f(): void { g(); }\n",
      rule: "no-floating-promises",
    },
  };
  for (const [name, violation] of Object.entries(violations)) {
    const directory = mkdtempSync("/tmp/trivet-lint-");
    try {
      for (const file of [".oxlintrc.json", "tsconfig.json", "package.json"])
        writeFileSync(join(directory, file), readFileSync(join(root, file)));
      symlinkSync(join(root, "node_modules"), join(directory, "node_modules"));
      const path = join(directory, violation.file);
      mkdirSync(join(path, ".."), { recursive: true });
      writeFileSync(path, violation.text);
      const output = lint(directory, violation.file);
      assert.match(output, new RegExp(violation.rule), `${name} is found; the linter said: ${output}`);
    } finally {
      rmSync(directory, { recursive: true });
    }
  }
});

test("pure rooms have no promises, clocks or randomness", () => {
  for (const room of ["base", "kinds", "raft", "controllers", "scheduler", "agent/plan"]) {
    for (const file of readdirSync(join(root, "src", room), { recursive: true, encoding: "utf8" })) {
      if (!file.endsWith(".ts") || /\.test(-suite)?\.ts$/.test(file)) continue;
      // Ports and the memory backend speak of promises because their callers wait; they start none of their own.
      const isPort = room === "base" && /^(backend|http|leases|memory-backend)/.test(file);
      const text = readFileSync(join(root, "src", room, file), "utf8").replace(/\/\*[^]*?\*\/|\/\/.*/g, "");
      assert.ok(
        !/\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(/.test(text),
        `${room}/${file} reads a clock or rolls dice`,
      );
      const waits = /\basync\s+[\w#(]|\bawait\s|\bPromise[.<(]/.test(text);
      assert.ok(isPort || !waits, `${room}/${file} waits`);
    }
  }
});

function lint(directory: string, file: string): string {
  try {
    return execFileSync(join(root, "node_modules/.bin/oxlint"), ["--type-aware", file], {
      cwd: directory,
      encoding: "utf8",
    });
  } catch (error) {
    return String((error as { stdout?: unknown }).stdout);
  }
}
