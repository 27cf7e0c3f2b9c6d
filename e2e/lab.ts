/** The lab as end-to-end tests use it: only through the command line. */
import { cpSync, existsSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import assert from "node:assert/strict";
import type { NodeStatus } from "#cli/status.ts";
import { Kubectl, launcher, must, run, waitFor } from "./harness.ts";

export interface LabNode {
  name: string;
  address: string;
  dataDir: string;
  pid: number;
}

const keptLogs = join(tmpdir(), "trivet-lab-logs");

export class TestLab {
  kubectl: Kubectl;
  readonly kubeconfig: string;
  nodes: LabNode[];

  private constructor(kubeconfig: string, nodes: LabNode[]) {
    this.kubeconfig = kubeconfig;
    this.kubectl = new Kubectl(kubeconfig);
    this.nodes = nodes;
  }

  /** The workers come behind the control-plane nodes, the witnesses last. */
  static async up(nodes: number, workers = 0, witnesses = 0, serveOptions: string[] = []): Promise<TestLab> {
    await TestLab.down();
    const counts = ["--nodes", String(nodes), "--workers", String(workers)];
    if (witnesses > 0) counts.push("--witnesses", String(witnesses));
    const output = await must(launcher, ["lab", "up", ...counts, "--format", "json", "--", ...serveOptions], {
      timeoutMs: 300_000,
    });
    const last = JSON.parse(output.trim().split("\n").at(-1) ?? "") as {
      kubeconfig: string;
      nodes: LabNode[];
    };
    assert.equal(last.nodes.length, nodes + workers + witnesses);
    assert.ok(existsSync(last.kubeconfig));
    return new TestLab(last.kubeconfig, last.nodes);
  }

  /** The nodes' logs of the lab that was taken down last are kept for whoever looks for the cause of a failure. */
  static async down(): Promise<void> {
    rmSync(keptLogs, { recursive: true, force: true });
    if (existsSync("/var/lib/trivet-lab/logs")) {
      cpSync("/var/lib/trivet-lab/logs", keptLogs, { recursive: true });
      // Why a node ended by itself stands in its log alone, and CI keeps nothing but this output.
      for (const file of readdirSync(keptLogs)) {
        const lines = readFileSync(join(keptLogs, file), "utf8").split("\n");
        for (const line of lines.filter((each) => each !== "" && !/"level":[1-4]0/.test(each)).slice(-12))
          console.log(`${file}: ${line.slice(0, 500)}`);
      }
    }
    await must(launcher, ["lab", "down"], { timeoutMs: 120_000 });
  }

  endpoints(except: string[] = []): string[] {
    return this.nodes.filter((each) => !except.includes(each.name)).map((each) => `${each.address}:16443`);
  }

  node(name: string): LabNode {
    const found = this.nodes.find((each) => each.name === name);
    assert.ok(found !== undefined, `lab node ${name}`);
    return found;
  }

  /** From now on `kubectl` asks this node's API server: the kubeconfig's own may be the one that dies. */
  talkTo(name: string): void {
    this.kubectl = new Kubectl(this.kubeconfig, `https://${this.node(name).address}:16443`);
  }

  /** Runs `trivet lab VERB NODE ...`. */
  async do(...args: string[]): Promise<string> {
    return must(launcher, ["lab", ...args], { timeoutMs: 120_000 });
  }

  /** Runs `trivet ARGS` on a node. */
  async exec(node: string, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    return run(launcher, ["lab", "exec", node, "--", launcher, ...args], { timeoutMs: 180_000 });
  }

  async status(node: string): Promise<NodeStatus> {
    const { stdout, stderr } = await this.exec(node, "status", "--format", "json");
    if (stdout === "") throw new Error(`${node} has no status: ${stderr}`);
    return JSON.parse(stdout) as NodeStatus;
  }

  /** The leader's name, as seen from a node that is not among `except`. */
  async leader(except: string[] = []): Promise<string> {
    return waitFor("a leader", 15_000, async () => {
      for (const { name } of this.nodes.filter((each) => !except.includes(each.name))) {
        const { leader } = (await this.status(name)).highAvailability;
        if (leader !== "" && !except.includes(leader)) return leader;
      }
      return undefined;
    });
  }
}
