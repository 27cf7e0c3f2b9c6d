/**
 * Replays the recorded conversations of a real Kubernetes API server against Trivet's, alone on loopback,
 * and holds what has once passed: the names in golden-api.passing.txt must pass, and the list never
 * shrinks. `UPDATE_GOLDEN=1` adds what passes now.
 *
 * The descriptions of table columns are sentences of upstream's documentation; Trivet has its own. What
 * differs in nothing else stands in golden-api.own-words.txt, which is held the same way.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { startApiOnly } from "../scripts/serve-api.ts";

const golden = join(import.meta.dirname, "../../shared/golden/api");
const lists = {
  passing: join(import.meta.dirname, "golden-api.passing.txt"),
  ownWords: join(import.meta.dirname, "golden-api.own-words.txt"),
};
const ownWording = /columnDefinitions\[\d+\]\.description$/;

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
      const differs = (each: ScenarioReport): boolean =>
        each.fails.some((step) => step.d.some(([path]) => !ownWording.test(path)));
      const wrong = new Map(report.filter(differs).map((each) => [each.rel, each]));
      const passed = report.filter((each) => !failed.has(each.rel)).map((each) => each.rel);
      const sameButWords = report
        .filter((each) => failed.has(each.rel) && !wrong.has(each.rel))
        .map((each) => each.rel);
      const broken = [
        ...heldBack(lists.passing, passed, failed),
        ...heldBack(lists.ownWords, sameButWords, wrong),
      ];
      assert.deepEqual(broken, [], `${broken.length} conversations that passed before fail now`);
    } finally {
      await server.close();
      rmSync(directory, { recursive: true, force: true });
    }
  },
);

/** Names on the list that fail now, each with its first difference. */
function heldBack(listPath: string, passed: string[], failed: ReadonlyMap<string, ScenarioReport>): string[] {
  const text = existsSync(listPath) ? readFileSync(listPath, "utf8") : "";
  const mustPass = text.split("\n").filter((each) => each !== "");
  if (process.env["UPDATE_GOLDEN"] === "1") {
    writeFileSync(listPath, `${[...new Set([...mustPass, ...passed])].sort().join("\n")}\n`);
  }
  return mustPass
    .filter((name) => failed.has(name))
    .map((name) => `${name}: ${JSON.stringify(failed.get(name)?.fails[0])}`);
}

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
