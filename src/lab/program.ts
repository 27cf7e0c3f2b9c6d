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
    .option("--nodes <count>", "control-plane nodes", "3")
    .option("--workers <count>", "nodes without control plane", "0")
    .option("--timeout <seconds>", "how long to wait for each node", "120")
    .option("--format <format>", "pretty or json", "pretty")
    .action(async (flags) => {
      const { labUp, trivetProgram } = await use();
      const summary = await labUp({
        nodes: count(flags.nodes, "--nodes", 1),
        workers: count(flags.workers, "--workers", 0),
        program: trivetProgram([context.launcher]),
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
    .action(async (node, flags) => (await use()).labPartition(node, { oneWay: flags.oneWay === true }));
  lab
    .command("heal <node>")
    .description("end the node's partition")
    .action(async (node) => (await use()).labHeal(node));
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
    .command("down")
    .description("remove the lab with everything in it")
    .action(async () => {
      const removed = await (await use()).labDown();
      context.progress.line(removed ? "the lab is removed" : "there is no lab: nothing to do");
    });
}

function count(text: string, flag: string, min: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > 32)
    throw new Error(`${flag} takes a number from ${min} to 32, not "${text}"`);
  return value;
}
