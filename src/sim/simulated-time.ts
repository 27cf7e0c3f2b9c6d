/**
 * Time that passes only when the simulation says so: a queue of what is to happen, by time and, at the
 * same time, in the order in which it was asked for.
 */

import type { Timer } from "#base/ports.ts";

interface Scheduled {
  atMs: number;
  order: number;
  /** Undefined once cancelled. */
  action: (() => void) | undefined;
}

export class SimulatedTime {
  nowMs = 0;
  /** What has happened so far: messages that arrived, timers, ends of disk operations, deeds of clients. Counted by whom they happen to. */
  steps = 0;
  #heap: Scheduled[] = [];
  #order = 0;

  /** Calls back after `delayMs` of simulated time. */
  after(delayMs: number, action: () => void): Timer {
    const scheduled: Scheduled = { atMs: this.nowMs + Math.max(0, delayMs), order: this.#order++, action };
    this.#push(scheduled);
    return { cancel: () => (scheduled.action = undefined) };
  }

  /** Resolves after `ms` of simulated time. */
  pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(ms, resolve);
    });
  }

  /** Runs what comes next. False when nothing is left, or nothing until `untilMs`, which it then is. */
  step(untilMs: number): boolean {
    for (;;) {
      const next = this.#heap[0];
      if (next === undefined || next.atMs > untilMs) {
        this.nowMs = Math.max(this.nowMs, untilMs);
        return false;
      }
      this.#pop();
      if (next.action === undefined) continue;
      this.nowMs = next.atMs;
      next.action();
      return true;
    }
  }

  #push(item: Scheduled): void {
    const heap = this.#heap;
    let position = heap.length;
    heap.push(item);
    while (position > 0) {
      const parent = (position - 1) >> 1;
      if (!isBefore(item, heap[parent])) break;
      heap[position] = heap[parent] as Scheduled;
      position = parent;
    }
    heap[position] = item;
  }

  #pop(): void {
    const heap = this.#heap;
    const item = heap.pop();
    if (item === undefined || heap.length === 0) return;
    let position = 0;
    for (;;) {
      let child = position * 2 + 1;
      if (child >= heap.length) break;
      if (isBefore(heap[child + 1], heap[child])) child++;
      if (!isBefore(heap[child], item)) break;
      heap[position] = heap[child] as Scheduled;
      position = child;
    }
    heap[position] = item;
  }
}

function isBefore(a: Scheduled | undefined, b: Scheduled | undefined): boolean {
  if (a === undefined || b === undefined) return false;
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
