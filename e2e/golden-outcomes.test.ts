/**
 * Replays recorded stories of controllers and scheduler against Trivet's own, with the corpus's runner in
 * the agent's part. `golden-outcomes.passing.txt` names the stories that pass; the list may only grow.
 * By default those that take long are left out; TRIVET_GOLDEN=all replays the whole list.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { startControlPlane } from "../scripts/serve-control-plane.ts";

const corpus = new URL("../../shared/golden/outcomes/", import.meta.url).pathname;
const passing = readFileSync(new URL("golden-outcomes.passing.txt", import.meta.url), "utf8")
  .split("\n")
  .filter((line) => line !== "" && !line.startsWith("#"));
/** A story that says it takes longer than this is left to the whole run. */
const shortSeconds = 15;
const limitMs = 15 * 60_000;

test(
  "recorded outcomes of controllers and scheduler",
  { skip: existsSync(corpus) ? false : "the recorded outcomes are not here", timeout: limitMs },
  async () => {
    const all = process.env["TRIVET_GOLDEN"] === "all";
    const names = passing.filter((name) => all || secondsOf(name) <= shortSeconds);
    const directory = mkdtempSync(join(tmpdir(), "trivet-outcomes-"));
    const plane = await startControlPlane({
      directory,
      port: 0,
      serviceCidr: "10.96.0.0/16",
      verbose: false,
    });
    try {
      const first = await replay(plane.kubeconfigPath, names, 10);
      // Bounds such as the fewest ready pods are measured over a watch, which lags on a loaded machine:
      // what fails among others is tried once more, alone.
      const doubtful = namesOf(first, "FAIL");
      const second = doubtful.length === 0 ? "" : await replay(plane.kubeconfigPath, doubtful, 1);
      assert.deepEqual(namesOf(second, "FAIL"), [], second.slice(-20_000));
      const passed = namesOf(first, "ok").length + namesOf(second, "ok").length;
      assert.equal(passed, names.length, `${first.slice(-4000)}${second.slice(-4000)}`);
    } finally {
      await plane.close();
      rmSync(directory, { recursive: true, force: true });
    }
  },
);

function secondsOf(name: string): number {
  const path = join(corpus, "scenarios", `${name}.json`);
  return (JSON.parse(readFileSync(path, "utf8")) as { seconds?: number }).seconds ?? 0;
}

function namesOf(output: string, verdict: "ok" | "FAIL"): string[] {
  return output.split("\n").flatMap((line) => (line.startsWith(`${verdict} `) ? [line.split(" ")[1]!] : []));
}

async function replay(kubeconfig: string, names: readonly string[], parallel: number): Promise<string> {
  const runner = spawn(
    process.execPath,
    [
      join(corpus, "outcomes.mjs"),
      "--kubeconfig",
      kubeconfig,
      "--corpus",
      corpus,
      "--only",
      `^(${names.join("|")})$`,
      "--parallel",
      String(parallel),
    ],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let output = "";
  for (const stream of [runner.stdout, runner.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  await new Promise((resolve) => runner.once("close", resolve));
  return output;
}
