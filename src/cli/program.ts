/** The command line's words. What each command does stands in its own file. */
import { Command, CommanderError, Option } from "commander";
import { FatalError, exitCodes } from "#base/errors.ts";
import { addonsCommand, disableCommand, enableCommand } from "./addons.ts";
import { datastoreOptions } from "./datastore.ts";
import type { CommandContext } from "./context.ts";
import { defaultDataDir } from "./context.ts";
import { backupCommand } from "./backup-command.ts";
import { demoCommand } from "./demo.ts";
import { drillCommand } from "./drill.ts";
import { configCommand, kubectlCommand } from "./kubectl.ts";
import { addNodeCommand, joinCommand, leaveCommand, removeNodeCommand } from "./membership-commands.ts";
import { resetCommand, restartCommand, startCommand, stopCommand } from "./node-commands.ts";
import { recoverCommand } from "./recover-command.ts";
import { restoreCommand } from "./restore-command.ts";
import { statusCommand } from "./status.ts";
import { upCommand } from "./up.ts";
import { parseVoters, votersCommand } from "./voters.ts";

/** Commands of the contract that a later version brings. */
const toCome: Record<string, string> = {
  inspect: "collect what a bug report needs",
  certs: "show and renew certificates",
  sql: "query the cluster's state with SQL",
  history: "show the history of an object",
};

export function createProgram(context: CommandContext): Command {
  const program = new Command("trivet")
    .description("A lean Kubernetes that becomes highly available by itself")
    .showHelpAfterError("(add --help for the command's flags)")
    .exitOverride()
    .enablePositionalOptions();

  external(
    nodeFlags(program.command("up").description("from nothing to a Ready node: packages, keys, start, wait")),
  )
    .option("--cluster-cidr <block>", "addresses of pods")
    .option("--service-cidr <block>", "addresses of Services")
    .option(...etcdApiFlag)
    .option("--voters <count>", "how many nodes vote, once there are as many: 3, 5 or 7", "3")
    .action((flags) => upCommand(context, flags));
  dataDir(program.command("start").description("start the node in the background and wait until it is Ready"))
    .option("--timeout <seconds>", "how long to wait", "120")
    .option("--address <ip>", "the address that this node has moved to")
    .option("--peers <list>", "where the other nodes are now: NAME=ADDRESS,NAME=ADDRESS")
    .action((flags) => startCommand(context, flags));
  dataDir(program.command("stop").description("stop the node; its containers go on running")).action(
    (flags) => stopCommand(context, flags),
  );
  dataDir(program.command("restart").description("stop and start the node"))
    .option("--timeout <seconds>", "how long to wait", "120")
    .option("--address <ip>", "the address that this node has moved to")
    .option("--peers <list>", "where the other nodes are now: NAME=ADDRESS,NAME=ADDRESS")
    .action((flags) => restartCommand(context, flags));
  dataDir(program.command("reset").description("remove the node with all its containers and data"))
    .option("--yes", "do it without asking")
    .action((flags) => resetCommand(context, flags));
  program
    .command("version")
    .description("print the version")
    .action(() => context.print(`trivet ${context.version}`));
  external(dataDir(program.command("serve").description("run the node in the foreground")))
    .option(
      "--components <list>",
      'what to run: "all", or "api" for the API server and its store alone',
      "all",
    )
    .option("--port <port>", "with --components api: port of the API server, 0 for any")
    .option("--service-cidr <block>", "with --components api: addresses of Services")
    .option("--name <name>", "name of the node, where the data directory holds none yet")
    .option("--address <ip>", "its address, where the data directory holds none yet")
    .option("--failure-domain <name>", "its failure domain, where the data directory holds none yet")
    .option(...etcdApiFlag)
    .option("--voters <count>", "how many nodes vote, where the data directory holds none yet", "3")
    .action((flags) =>
      context.hooks.serve({
        dataDir: flags.dataDir,
        components: String(flags.components).split(","),
        ...(flags.name === undefined ? {} : { name: flags.name }),
        ...(flags.address === undefined ? {} : { address: flags.address }),
        ...(flags.failureDomain === undefined ? {} : { failureDomain: flags.failureDomain }),
        voters: parseVoters(flags.voters),
        ...(flags.etcdApi === undefined ? {} : { etcdApi: flags.etcdApi }),
        external: flags,
        ...(flags.port === undefined ? {} : { port: Number(flags.port) }),
        ...(flags.serviceCidr === undefined ? {} : { serviceCidr: flags.serviceCidr }),
      }),
    );
  dataDir(program.command("demo").description("deploy a small web application that needs no image registry"))
    .option("--remove", "remove it again")
    .option("--kubeconfig <file>", "use this cluster instead of this machine's node")
    .option("--timeout <seconds>", "how long to wait", "120")
    .action((flags) => demoCommand(context, flags));
  dataDir(program.command("status").description("show the node, the cluster and its high availability"))
    .option("--wait-ready", "wait until the node is Ready")
    .option("--timeout <seconds>", "how long to wait", "120")
    .addOption(formats(["pretty", "json", "yaml", "short"]))
    .action((flags) => statusCommand(context, flags));
  dataDir(program.command("add-node").description("print an invitation for another machine"))
    .option("--ttl <time>", "how long it is valid", "10m")
    .option("--worker", "for a node without control plane")
    .option("--witness", "for a node that only votes")
    .addOption(formats(["pretty", "json", "short"]))
    .action((flags) => addNodeCommand(context, flags));
  nodeFlags(
    program.command("join <invitation>").description("make this machine a node of an existing cluster"),
  )
    .option("--worker", "join without control plane")
    .option("--witness", "join as a node that only votes")
    .action((invitation, flags) => joinCommand(context, invitation, flags));
  dataDir(
    program.command("leave").description("take this node out of its cluster and remove its data"),
  ).action((flags) => leaveCommand(context, flags));
  dataDir(program.command("remove-node <name>").description("remove another node from the cluster"))
    .option("--force", "also when it is online")
    .action((name, flags) => removeNodeCommand(context, name, flags));
  dataDir(
    program
      .command("voters [count]")
      .description("show, or set to 3, 5 or 7, how many nodes vote in the datastore"),
  ).action((count, flags) => votersCommand(context, count, flags));
  dataDir(program.command("drill").description("prove the high availability of the running cluster"))
    .option("--outage <seconds>", "how long the leading replica is stopped", "5")
    .option("--graceful", "only hand leadership over")
    .option("--yes", "do it without asking")
    .addOption(formats(["pretty", "json"]))
    .action((flags) => drillCommand(context, flags));
  program
    .command("kubectl")
    .description("run kubectl against this node")
    .allowUnknownOption()
    .passThroughOptions()
    .helpOption(false)
    .argument("[args...]")
    .action((args: string[]) => kubectlCommand(process.env["TRIVET_DATA_DIR"] ?? defaultDataDir, args));
  dataDir(program.command("config").description("print the administrator's kubeconfig")).action((flags) =>
    configCommand(context, flags),
  );
  addRecoveryCommands(program, context);
  addImageCommands(program, context);
  addAddonCommands(program, context);
  for (const [name, description] of Object.entries(toCome))
    program
      .command(name)
      .description(`${description} (not implemented yet)`)
      .allowUnknownOption()
      .argument("[args...]")
      .action(() => {
        throw new Error(`"trivet ${name}" is not implemented yet: see docs/coverage.md`);
      });
  return program;
}

/** Runs the program; failures become one line on standard error and an exit code that isn't 0. */
export async function runProgram(program: Command, args: string[]): Promise<void> {
  try {
    if (args.length === 0) program.outputHelp();
    else await program.parseAsync(args, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode;
      return;
    }
    process.stderr.write(`trivet: ${explain(error)}\n`);
    if (process.env["TRIVET_DEBUG"] !== undefined) process.stderr.write(`${(error as Error).stack}\n`);
    process.exitCode = exitCodeOf(error);
  }
}

function exitCodeOf(error: unknown): number {
  if (error instanceof FatalError) return error.exitCode;
  return (error as NodeJS.ErrnoException).code === "ENOSPC" ? exitCodes.diskFull : 1;
}

function explain(error: unknown): string {
  const { code, path } = error as NodeJS.ErrnoException;
  if (code === "EACCES" && path !== undefined && process.getuid?.() !== 0)
    return `${path} is for root only: run this command with sudo`;
  if (code === "ENOSPC") return "the disk is full: make room and try again";
  return error instanceof Error ? error.message : String(error);
}

function addRecoveryCommands(program: Command, context: CommandContext): void {
  dataDir(
    program
      .command("backup <file>")
      .description('write a backup of the cluster to a file ("-": standard output)'),
  )
    .option("--force", "replace a file of this name")
    .option("--unconfirmed", "without asking a majority: what this node has")
    .option("--verify", "check a backup instead of taking one")
    .action((file, flags) => backupCommand(context, file, flags));
  nodeFlags(
    program.command("restore <file>").description("make a one-node cluster from a backup, on this machine"),
  )
    .option("--at <moment>", "as it was at this revision or time, as far as the backup's history reaches")
    .option(
      "--take-over",
      "the other nodes of the old cluster are taken into the restored one when they meet it",
    )
    .option("--keys-only", "put back the cluster's keys alone; the datastore stays as it is")
    .option("--dry-run", "check the backup and say what would be done")
    .option("--yes", "lay the node that is here aside without asking")
    .action((file, flags) => restoreCommand(context, file, flags));
  dataDir(
    program.command("recover").description("go on after the majority of the voters is lost, on a survivor"),
  )
    .option("--dry-run", "say who is alive and what would be done")
    .option("--yes", "do it without asking")
    .option("--timeout <seconds>", "how long to wait until the cluster goes on", "120")
    .action((flags) => recoverCommand(context, flags));
}

function addImageCommands(program: Command, context: CommandContext): void {
  const images = program.command("images").description("container images of this node");
  dataDir(images.command("import <file>").description("take the images of a docker or OCI archive")).action(
    async (file, flags) => {
      const names = await context.hooks.images.importArchive(flags.dataDir, file);
      for (const name of names) context.print(`imported ${name}`);
    },
  );
  dataDir(images.command("export <file> <names...>").description("write images to an OCI archive")).action(
    async (file, names, flags) => {
      await context.hooks.images.exportArchive(flags.dataDir, file, names);
      context.print(`exported ${names.join(", ")} to ${file}`);
    },
  );
  dataDir(images.command("list").description("list images")).action(async (flags) => {
    for (const image of await context.hooks.images.list(flags.dataDir))
      context.print(`${image.name}\t${(image.sizeBytes / 1048576).toFixed(1)} MiB`);
  });
  dataDir(images.command("remove <names...>").description("remove images")).action(async (names, flags) => {
    await context.hooks.images.remove(flags.dataDir, names);
    for (const name of names) context.print(`removed ${name}`);
  });
}

function addAddonCommands(program: Command, context: CommandContext): void {
  dataDir(program.command("enable <addon...>").description("switch add-ons on, in the whole cluster")).action(
    (names, flags) => enableCommand(context, names, flags),
  );
  dataDir(
    program.command("disable <addon...>").description("switch add-ons off, in the whole cluster"),
  ).action((names, flags) => disableCommand(context, names, flags));
  dataDir(program.command("addons").description("list the add-ons"))
    .addOption(formats(["pretty", "json"]))
    .action((flags) => addonsCommand(context, flags));
}

function dataDir(command: Command): Command {
  return command.option(
    "--data-dir <directory>",
    "where the node keeps its data",
    process.env["TRIVET_DATA_DIR"] ?? defaultDataDir,
  );
}

function nodeFlags(command: Command): Command {
  return dataDir(command)
    .option("--name <name>", "the node's name (default: the host name)")
    .option(
      "--address <ip>",
      "the address that other nodes reach this one at (default: of the default route)",
    )
    .option("--failure-domain <name>", "nodes of one domain fail together (rack, site)")
    .option("--api-port <port>", "port of the API server (default 16443)")
    .option("--peer-port <port>", "port of the datastore (default 19001)")
    .option("--agent-port <port>", "port of the node agent (default 10250)")
    .option("--timeout <seconds>", "how long to wait until the node is Ready", "120")
    .option("--no-start", "prepare the node without starting it");
}

function external(command: Command): Command {
  for (const [flag, description] of datastoreOptions) command.option(flag, description);
  return command;
}

const etcdApiFlag = [
  "--etcd-api [port]",
  "serve the etcd v3 API, to holders of a certificate (default port 12379)",
] as const;

function formats(choices: string[]): Option {
  return new Option("--format <format>", "how to print").choices(choices).default("pretty");
}
