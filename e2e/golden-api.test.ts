/**
 * Replays the recorded conversations of a real Kubernetes API server against Trivet's, alone on loopback,
 * and holds what has once passed: the names in golden-api.passing.txt must pass, and the list never
 * shrinks. `UPDATE_GOLDEN=1` adds what passes now.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { startApiOnly } from "../scripts/serve-api.ts";

const golden = join(import.meta.dirname, "../../shared/golden/api");
const listPath = join(import.meta.dirname, "golden-api.passing.txt");

interface ScenarioReport {
  rel: string;
  fails: { step: string; d: [string, unknown, unknown][] }[];
}

test(
  "recorded API conversations",
  { skip: !existsSync(golden) && "the golden data are not here" },
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "trivet-golden-api-"));
    const server = await startApiOnly({ directory, port: 0, serviceCidr: "10.96.0.0/16" });
    try {
      const report = await replay(server.kubeconfigPath, join(directory, "report.json"));
      const failed = new Map(report.filter((each) => each.fails.length > 0).map((each) => [each.rel, each]));
      const passed = report.filter((each) => each.fails.length === 0).map((each) => each.rel);
      const mustPass = existsSync(listPath)
        ? readFileSync(listPath, "utf8")
            .split("\n")
            .filter((each) => each !== "")
        : [];
      if (process.env["UPDATE_GOLDEN"] === "1") {
        writeFileSync(listPath, `${[...new Set([...mustPass, ...passed])].sort().join("\n")}\n`);
      }
      const broken = mustPass
        .filter((name) => failed.has(name))
        .map((name) => `${name}: ${JSON.stringify(failed.get(name)?.fails[0])}`);
      assert.deepEqual(broken, [], `${broken.length} conversations that passed before fail now`);
    } finally {
      await server.close();
      rmSync(directory, { recursive: true, force: true });
    }
  },
);

async function replay(kubeconfig: string, reportPath: string): Promise<ScenarioReport[]> {
  const child = spawn(
    process.execPath,
    [
      join(golden, "replay.mjs"),
      "--kubeconfig",
      kubeconfig,
      "--corpus",
      join(golden, "corpus"),
      "--parallel",
      "6",
      "--quiet",
      "--junit",
      reportPath,
    ],
    { stdio: "ignore" },
  );
  await new Promise<void>((resolve) => child.once("close", () => resolve()));
  return JSON.parse(readFileSync(reportPath, "utf8")) as ScenarioReport[];
}
