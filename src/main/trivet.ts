/** The program: composes the command line with the rooms that it may not import itself. */
import { join } from "node:path";
import type { CommandContext } from "#cli/context.ts";
import { Progress } from "#cli/progress.ts";
import { createProgram, runProgram } from "#cli/program.ts";
import { addLabCommands } from "#lab/program.ts";
import { version } from "#base/version.ts";

const context: CommandContext = {
  launcher: join(process.env["TRIVET_ROOT"] ?? new URL("../..", import.meta.url).pathname, "trivet"),
  version,
  progress: new Progress((text) => process.stderr.write(text), performance.now.bind(performance)),
  print: (text) => process.stdout.write(`${text}\n`),
  // Loaded on use: most commands need none of the rooms behind these.
  hooks: {
    serve: async (options) => (await import("./serve.ts")).serve(options),
    images: {
      importArchive: async (dataDir, file) => (await import("./images.ts")).importArchive(dataDir, file),
      exportArchive: async (dataDir, file, names) =>
        (await import("./images.ts")).exportArchive(dataDir, file, names),
      list: async (dataDir) => (await import("./images.ts")).listImages(dataDir),
      remove: async (dataDir, names) => (await import("./images.ts")).removeImages(dataDir, names),
    },
    cleanUp: async (dataDir, report) => (await import("./clean-up.ts")).cleanUp(dataDir, report),
  },
};

// The reader of a pipe may have seen enough (`trivet status | head -1`).
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

const program = createProgram(context);
addLabCommands(program, context);
await runProgram(program, process.argv.slice(2));
