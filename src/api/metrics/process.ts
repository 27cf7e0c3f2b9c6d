/** What Prometheus' clients tell of every process, under their names. Linux only: it is read from /proc. */
import { readFileSync, readdirSync } from "node:fs";
import type { Family } from "#base/exposition.ts";

const startedAtSeconds = performance.timeOrigin / 1000;

export function processFamilies(): Family[] {
  const { user, system } = process.cpuUsage();
  return [
    counter("process_cpu_seconds_total", "Processor time spent.", (user + system) / 1e6),
    gauge("process_max_fds", "Files and sockets that may be open.", maxFiles()),
    gauge("process_open_fds", "Files and sockets that are open.", readdirSync("/proc/self/fd").length),
    gauge("process_resident_memory_bytes", "Resident memory of the process.", process.memoryUsage.rss()),
    gauge("process_start_time_seconds", "When the process began, since 1970.", startedAtSeconds),
    gauge("process_virtual_memory_bytes", "Address space of the process.", virtualBytes()),
  ];
}

function maxFiles(): number {
  const line = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
  return Number(line?.[1] ?? Infinity);
}

function virtualBytes(): number {
  const line = /^VmSize:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8"));
  return Number(line?.[1] ?? 0) * 1024;
}

function counter(name: string, help: string, value: number): Family {
  return { name, help, type: "counter", samples: [{ value }] };
}

function gauge(name: string, help: string, value: number): Family {
  return { name, help, type: "gauge", samples: [{ value }] };
}
