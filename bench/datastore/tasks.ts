/** What a client can be told to do, wherever it sits: in a member's process or at its gRPC port. */
import type { Client } from "./client.ts";
import { fill, load } from "./load.ts";
import { steadyWrites } from "./steady-writes.ts";
import { observe, paceWrites } from "./watch-lag.ts";

const tasks = {
  fill,
  load,
  paceWrites,
  observe,
  steadyWrites,
  keysBelow: (client: Client, prefix: string) => client.keysBelow(prefix),
};

type Tasks = typeof tasks;
export type TaskName = keyof Tasks;
export type TaskArgument<Name extends TaskName> = Parameters<Tasks[Name]>[1];
export type TaskResult<Name extends TaskName> = Awaited<ReturnType<Tasks[Name]>>;

/** A client in its place, to be told what to do. */
export type Driver = <Name extends TaskName>(
  name: Name,
  argument: TaskArgument<Name>,
) => Promise<TaskResult<Name>>;

export function driverOf(client: Client): Driver {
  return (name, argument) => runTask(client, name, argument);
}

export async function runTask<Name extends TaskName>(
  client: Client,
  name: Name,
  argument: TaskArgument<Name>,
): Promise<TaskResult<Name>> {
  const task = tasks[name] as (client: Client, argument: TaskArgument<Name>) => Promise<TaskResult<Name>>;
  return task(client, argument);
}
