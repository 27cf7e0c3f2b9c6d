/** The node's log: one JSON line per event on standard output. */
import { pino } from "pino";
import type { Logger } from "#base/ports.ts";

export function createLogger(component: string): Logger {
  // Synchronous: the last line before a crash is the one that is wanted.
  const logger = pino(
    {
      level: process.env["TRIVET_LOG_LEVEL"] ?? "info",
      base: { component },
      timestamp: pino.stdTimeFunctions.isoTime,
    },
    pino.destination({ fd: 1, sync: true }),
  );
  return {
    debug: (message, fields) => logger.debug(fields ?? {}, message),
    info: (message, fields) => logger.info(fields ?? {}, message),
    warn: (message, fields) => logger.warn(fields ?? {}, message),
    error: (message, fields) => logger.error(fields ?? {}, message),
  };
}
