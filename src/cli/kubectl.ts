/** `trivet kubectl` and `trivet config`: this node's kubeconfig for an installed kubectl, and as text. */
import { spawn } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import type { CommandContext } from "./context.ts";
import { kubeconfigPath } from "./management-client.ts";
import { findProgram } from "./system.ts";

/** Runs kubectl with this node's kubeconfig and ends with its exit code. */
export async function kubectlCommand(dataDir: string, args: string[]): Promise<void> {
  const kubectl = findProgram("kubectl");
  if (kubectl === undefined)
    throw new Error(
      `kubectl is not installed: "apt-get install kubernetes-client" brings one (Trivet's own is not implemented yet)`,
    );
  const environment = { ...process.env, KUBECONFIG: requireKubeconfig(dataDir) };
  const child = spawn(kubectl, args, { stdio: "inherit", env: environment });
  // The terminal sends Ctrl-C to both; kubectl decides what it means.
  process.on("SIGINT", () => undefined);
  process.exitCode = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve(code ?? (signal === "SIGINT" ? 130 : 1)));
  });
}

export function configCommand(context: CommandContext, flags: { dataDir: string }): void {
  context.print(readFileSync(requireKubeconfig(flags.dataDir), "utf8").trimEnd());
}

function requireKubeconfig(dataDir: string): string {
  const path = kubeconfigPath(dataDir);
  if (existsSync(dataDir)) accessSync(dataDir, constants.X_OK);
  if (!existsSync(path))
    throw new Error(`there is no kubeconfig in ${dataDir}: run "trivet up" or "trivet join" first`);
  return path;
}
