/** The words of `trivet lab`. The functions behind them are loaded on use. */
import type { Command } from "commander";
import type { CommandContext } from "#cli/context.ts";

import type * as commands from "./commands.ts";

export function addLabCommands(program: Command, context: CommandContext): void {
  const lab = program
    .command("lab")
    .description("many nodes on this one machine, and the faults they can be given");
  const use = async (): Promise<typeof commands> => {
    if (process.getuid?.() !== 0) throw new Error('"trivet lab" needs root: run it with sudo');
    return import("./commands.ts");
  };

  lab
    .command("up")
    .description("make a cluster of several nodes")
    .argument("[options...]", "behind --: options of `trivet serve` for the first node, e.g. -- --etcd-api")
    .option("--nodes <count>", "control-plane nodes", "3")
    .option("--workers <count>", "nodes without control plane", "0")
    .option("--witnesses <count>", "nodes that only vote", "0")
    .option("--timeout <seconds>", "how long to wait for each node", "120")
    .option("--delay <ms>", "every frame between nodes takes this long; also makes `lab delay` possible (0)")
    .option("--disk-size <MiB>", "a disk of this size for each node; makes `lab disk-full` possible")
    .option("--movable-clocks", "makes `lab clock` possible")
    .option("--format <format>", "pretty or json", "pretty")
    .action(async (serveOptions, flags) => {
      const { labUp, trivetProgram } = await use();
      const summary = await labUp({
        nodes: count(flags.nodes, "--nodes", 1),
        workers: count(flags.workers, "--workers", 0),
        witnesses: count(flags.witnesses, "--witnesses", 0),
        ...(flags.delay === undefined ? {} : { delayMs: number(flags.delay, "--delay") }),
        ...(flags.diskSize === undefined ? {} : { diskSizeMiB: diskSize(flags.diskSize) }),
        movableClocks: flags.movableClocks === true,
        program: trivetProgram([context.launcher], serveOptions),
        timeoutSeconds: Number(flags.timeout),
        progress: (message) => context.progress.line(message),
      });
      if (flags.format === "json") context.print(JSON.stringify(summary));
      else
        context.print(
          [
            "",
            ...summary.nodes.map((node) => `  ${node.name}  ${node.address}`),
            "",
            "What to type next:",
            `  export KUBECONFIG=${summary.kubeconfig}`,
            "  kubectl get nodes",
            `  ${context.launcher} lab exec n1 -- ${context.launcher} status`,
            `  ${context.launcher} lab kill n1     and see that the cluster goes on; lab start n1 brings it back`,
            `  ${context.launcher} lab down        removes everything`,
          ].join("\n"),
        );
    });
  lab
    .command("status")
    .description("show the nodes' processes")
    .option("--format <format>", "pretty or json", "pretty")
    .action(async (flags) => {
      const { formatStatus, labStatus } = await use();
      const nodes = await labStatus();
      context.print(flags.format === "json" ? JSON.stringify({ nodes }) : formatStatus(nodes));
    });
  lab
    .command("kill <node>")
    .description("kill -9 of everything of the node")
    .option("--power", "cut its cable first, as when a machine loses power")
    .option("--keep-pods", "leave its containers running")
    .action(async (node, flags) => {
      await (await use()).labKill(node, { power: flags.power === true, keepPods: flags.keepPods === true });
    });
  lab
    .command("start <node>")
    .description("start a node that was killed or stopped")
    .action(async (node) => (await use()).labStart(node));
  lab
    .command("stop <node>")
    .description("stop a node gracefully; its containers go on running")
    .action(async (node) => (await use()).labStop(node));
  lab
    .command("pause <node>")
    .description("stop the node's processes from running (SIGSTOP)")
    .action(async (node) => (await use()).labPause(node));
  lab
    .command("resume <node>")
    .description("let a paused node go on")
    .action(async (node) => (await use()).labResume(node));
  lab
    .command("partition <node>")
    .description("cut the node off from all others")
    .option("--one-way", "it still hears the others, but is not heard")
    .option("--from <nodes>", "only from these, separated by commas")
    .action(async (node, flags) => {
      const from = typeof flags.from === "string" ? { from: flags.from.split(",") } : {};
      await (await use()).labPartition(node, { oneWay: flags.oneWay === true, ...from });
    });
  lab
    .command("loss <node> <percent>")
    .description("lose this part of what the node sends, at random")
    .action(async (node, percent) => (await use()).labLoss(node, number(percent, "the loss")));
  lab
    .command("delay <node> <ms>")
    .description("what the node sends arrives this much later (needs `lab up --delay`)")
    .option("--jitter <ms>", "and at most this much more, so that frames overtake each other", "0")
    .option("--duplicate <percent>", "this part of the frames arrives twice", "0")
    .action(async (node, ms, flags) => {
      await (
        await use()
      ).labDelay(node, number(ms, "the delay"), {
        jitterMs: number(flags.jitter, "--jitter"),
        duplicatePercent: number(flags.duplicate, "--duplicate"),
      });
    });
  lab
    .command("heal <node>")
    .description("end the node's partitions, losses and delays")
    .action(async (node) => (await use()).labHeal(node));
  lab
    .command("disk-full <node>")
    .description("fill the node's disk (needs `lab up --disk-size`)")
    .action(async (node) => (await use()).labDiskFull(node));
  lab
    .command("disk-free <node>")
    .description("give the room back")
    .action(async (node) => (await use()).labDiskFree(node));
  lab
    .command("clock <node> <seconds>")
    .description("set the node's wall clock this far off the machine's (needs `lab up --movable-clocks`)")
    .allowUnknownOption() // -30 is a number of seconds
    .action(async (node, seconds) => (await use()).labClock(node, number(seconds, "the offset") * 1000));
  lab
    .command("exec <node> [command...]")
    .description("run a command on a node: lab exec n1 -- ip addr")
    .passThroughOptions()
    .action(async (node, command: string[]) => {
      // Behind a positional argument the separator is passed through as well.
      const argv = command[0] === "--" ? command.slice(1) : command;
      process.exitCode = await (await use()).labExec(node, argv);
    });
  lab
    .command("hollow")
    .description("play many more nodes, whose pods run on paper only, until Ctrl-C")
    .option("--nodes <count>", "how many", "100")
    .option("--kubeconfig <file>", "the cluster; default: $KUBECONFIG, the lab's, or this machine's")
    .option("--start <ms>", "about how long a pod takes to start", "1500")
    .option("--stop <ms>", "about how long a pod takes to end", "500")
    .option("--keep", "leave the Node objects behind when it ends")
    .action(async (flags) => {
      const { labHollow } = await import("./hollow/command.ts");
      const kubeconfig = typeof flags.kubeconfig === "string" ? { kubeconfig: flags.kubeconfig } : {};
      const options = {
        nodes: count(flags.nodes, "--nodes", 1, 10_000),
        startMs: number(flags.start, "--start"),
        stopMs: number(flags.stop, "--stop"),
        keep: flags.keep === true,
        ...kubeconfig,
      };
      await labHollow(options, context);
    });
  lab
    .command("down")
    .description("remove the lab with everything in it")
    .action(async () => {
      const removed = await (await use()).labDown();
      context.progress.line(removed ? "the lab is removed" : "there is no lab: nothing to do");
    });
}

function count(text: string, flag: string, min: number, max = 32): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max)
    throw new Error(`${flag} takes a number from ${min} to ${max}, not "${text}"`);
  return value;
}

function number(text: unknown, what: string): number {
  const value = Number(text);
  if (text === "" || !Number.isFinite(value))
    throw new Error(`${what} must be a number, not "${String(text)}"`);
  return value;
}

function diskSize(text: unknown): number {
  const value = number(text, "--disk-size");
  // A containerd with its images and a replica with its first segments need about this much.
  if (value < 256) throw new Error(`--disk-size is at least 256 (MiB), not ${value}`);
  return Math.floor(value);
}
