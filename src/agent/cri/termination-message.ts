/** What a container left as its last words: its termination message file, or the end of its log. */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { containerLogPath } from "../paths.ts";
import type { AgentPaths } from "../paths.ts";
import type { ContainerView } from "../plan/runtime-view.ts";
import { messagePolicyAnnotation, podNameLabel, podNamespaceLabel, podUidLabel } from "./labels.ts";
import type { RuntimeContainer } from "./messages.ts";

const messageLimitBytes = 4096;
const logLimitBytes = 2048;
const logLimitLines = 80;

export async function readTerminationMessage(
  paths: AgentPaths,
  container: RuntimeContainer,
  view: ContainerView,
): Promise<string> {
  const { labels, annotations } = container;
  const uid = labels[podUidLabel] ?? "";
  const file = paths.terminationMessage(uid, view.name, view.restartCount);
  const message = await readEnd(file, messageLimitBytes, "start");
  if (message !== "" || annotations[messagePolicyAnnotation] !== "FallbackToLogsOnError") return message;
  if (view.exitCode === 0) return "";
  const logs = paths.podLogs(labels[podNamespaceLabel] ?? "", labels[podNameLabel] ?? "", uid);
  const text = await readEnd(
    join(logs, containerLogPath(view.name, view.restartCount)),
    16 * logLimitBytes,
    "end",
  );
  const lines = text
    .split("\n")
    .filter((line) => line !== "")
    .slice(-logLimitLines)
    // Each line of a CRI log: time, stream, flags, text.
    .map((line) => line.split(" ").slice(3).join(" "));
  return lines.join("\n").slice(-logLimitBytes);
}

async function readEnd(path: string, limitBytes: number, from: "start" | "end"): Promise<string> {
  let file;
  try {
    file = await open(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
  try {
    const { size } = await file.stat();
    const length = Math.min(size, limitBytes);
    const buffer = Buffer.alloc(length);
    await file.read(buffer, 0, length, from === "start" ? 0 : size - length);
    return buffer.toString("utf8");
  } finally {
    await file.close();
  }
}
