/** The drilled cluster: three lab hosts with a datastore each, how it is made, and when it counts as healthy. */
import { mkdirSync, readdirSync, readFileSync, statfsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createLab, openLab } from "#lab/lab.ts";
import type { Lab } from "#lab/lab.ts";
import { signal, waitForExit, waitUntil } from "#lab/processes.ts";
import type { PeerAuthority } from "#replica/peers/certificates.fixture.ts";
import { makePeerAuthority } from "#replica/peers/certificates.fixture.ts";
import type { JoinGrant, ReplicaStatus } from "#replica/types.ts";
import type { NodeSettings } from "../drill-node.ts";
import { NodeLink } from "./node-link.ts";

const peerPort = 19001;
const clientPort = 7100;
const dataDir = "/var/lib/drill";
const program = join(import.meta.dirname, "../drill-node.ts");

export class DrillCluster {
  readonly lab: Lab;
  readonly links = new Map<string, NodeLink>();

  private constructor(lab: Lab) {
    this.lab = lab;
  }

  static async up(dir: string): Promise<DrillCluster> {
    await DrillCluster.remove(dir);
    const lab = await createLab({
      dir,
      nodes: 3,
      subnet: "10.66.80.0/24",
      delayMs: 0,
      diskSizeMiB: 600,
      movableClocks: true,
    });
    const cluster = new DrillCluster(lab);
    try {
      const issue = await makePeerAuthority();
      for (const { name, address } of lab.hosts) await cluster.#add(name, address, issue);
      await cluster.healthy(30_000);
    } catch (error) {
      await cluster.down();
      throw error;
    }
    return cluster;
  }

  static async remove(dir: string): Promise<void> {
    const left = await openLab(dir).catch(() => undefined);
    await left?.down();
  }

  get names(): string[] {
    return this.lab.hosts.map(({ name }) => name);
  }

  link(name: string): NodeLink {
    const link = this.links.get(name);
    if (link === undefined) throw new Error(`there is no node ${name}`);
    return link;
  }

  /** The node's process, whatever state it is in, is ended without a word; peers see closed connections. */
  async killProcess(name: string, signalName: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<void> {
    const found = this.lab.host(name).services["trivet"]?.process;
    if (found === undefined) return;
    signal(found, signalName);
    if (!(await waitForExit(found, 30_000))) throw new Error(`the process of ${name} does not end`);
  }

  /** Resolves with the leader's name once all three vote, are online and have everything. */
  async healthy(timeoutMs: number): Promise<string> {
    let seen = "nothing";
    let leader: string | undefined;
    const healed = await waitUntil(async () => {
      const asked = [...this.links.values()].map((link) => link.control<ReplicaStatus>("status"));
      const answers = await Promise.allSettled(asked);
      const statuses = answers.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
      seen = JSON.stringify(answers.map(summary));
      const view = statuses.find((status) => status.leaderId === status.memberId);
      const whole =
        view?.members.length === 3 &&
        view.members.every(
          ({ role, online, lagEntries }) => role === "voter" && online && lagEntries >= 0 && lagEntries < 50,
        );
      const agreed = statuses.every((each) => each.ready && each.leaderId === view?.memberId);
      if (statuses.length < 3 || !whole || !agreed) return false;
      leader = view.members.find(({ id }) => id === view.memberId)?.name;
      return true;
    }, timeoutMs);
    if (!healed || leader === undefined)
      throw new Error(`the cluster has not healed within ${timeoutMs / 1000} s: ${seen}`);
    return leader;
  }

  log(name: string): string {
    return readFileSync(join(this.lab.dir, "logs", `${name}-trivet.log`), "utf8");
  }

  /** What is on the nodes' disks. */
  disks(): string {
    return this.names
      .map((name) => {
        const path = this.lab.pathOf(name, "/var/lib");
        const { bavail, blocks, bsize } = statfsSync(path);
        const files = readdirSync(path, { recursive: true, encoding: "utf8" }).map((file) => {
          const size = statSync(join(path, file), { throwIfNoEntry: false })?.size ?? 0;
          return `  ${String(size).padStart(10)} ${file}`;
        });
        return `${name}: ${bavail * bsize} of ${blocks * bsize} bytes free\n${files.join("\n")}\n`;
      })
      .join("");
  }

  async down(): Promise<void> {
    for (const link of this.links.values()) link.close();
    await this.lab.down();
  }

  async #add(name: string, address: string, issue: PeerAuthority): Promise<void> {
    const first = this.links.values().next().value;
    const member = { name, address: `${address}:${peerPort}`, apiAddress: "", failureDomain: "" };
    const settings: NodeSettings = {
      name,
      address,
      peerPort,
      clientPort,
      dataDir,
      tls: await issue(name),
      ...(first === undefined ? {} : { grant: await first.control<JoinGrant>("addMember", member) }),
    };
    const file = "/var/lib/drill-settings.json";
    mkdirSync(this.lab.pathOf(name, "/var/lib"), { recursive: true });
    writeFileSync(this.lab.pathOf(name, file), JSON.stringify(settings));
    await this.lab.spawn(name, "trivet", [
      process.execPath,
      "--disable-warning=ExperimentalWarning",
      program,
      file,
    ]);
    const link = new NodeLink(name, address, clientPort);
    this.links.set(name, link);
    const ready = await waitUntil(async () => {
      const status = await link.control<ReplicaStatus>("status").catch(() => undefined);
      return status?.ready === true;
    }, 30_000);
    if (!ready) throw new Error(`${name} was not ready in time: ${this.log(name).slice(-1000)}`);
  }
}

function summary(answer: PromiseSettledResult<ReplicaStatus>): unknown {
  if (answer.status === "rejected") return String(answer.reason);
  const { ready, memberId, leaderId, term, appliedIndex, trouble, members } = answer.value;
  const seen = members.map(({ name, role, online, lagEntries }) => `${name} ${role} ${online} ${lagEntries}`);
  return { ready, leads: memberId === leaderId, term, appliedIndex, trouble, seen };
}
