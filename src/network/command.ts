/** Runs the host's network tools with a deadline. The only place in this room where processes start. */
import { execFile } from "node:child_process";

/** Resolves with the standard output; rejects with the tool's own words. */
export type RunCommand = (command: string, args: readonly string[], input?: string) => Promise<string>;

const timeoutMs = 20_000;

export function runCommand(command: string, args: readonly string[], input?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      command,
      args,
      { timeout: timeoutMs, killSignal: "SIGKILL", maxBuffer: 256 * 1024 * 1024, encoding: "utf8" },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else
          reject(
            new Error(`${command} ${args.join(" ")}: ${stderr.trim() || error.message}`, { cause: error }),
          );
      },
    );
    // A tool that fails early closes its end; its exit status says why.
    child.stdin?.on("error", () => {});
    child.stdin?.end(input ?? "");
  });
}
