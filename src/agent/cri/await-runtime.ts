/**
 * Waits for the container runtime. containerd takes connections before its CRI part has loaded what it
 * knows of earlier containers, and answers every call with an error until then: the more containers
 * survived it, the longer.
 */
import { FatalError } from "#base/errors.ts";
import type { Clock, Logger } from "#base/ports.ts";
import type { RuntimeClient } from "./runtime-client.ts";

const pauseMs = 50;
const limitMs = 60_000;
/** From then on whoever reads the log knows what is waited for. */
const quietMs = 2_000;

/** Resolves when CRI answers. Rejects with a FatalError when it doesn't within a minute. */
export async function awaitRuntime(
  runtime: Pick<RuntimeClient, "conditions">,
  clock: Clock,
  logger: Logger,
): Promise<void> {
  const startMs = clock.monotonicMs();
  let told = false;
  for (;;) {
    try {
      await runtime.conditions();
      return;
    } catch (error) {
      const passedMs = clock.monotonicMs() - startMs;
      const reason = (error as Error).message;
      if (passedMs >= limitMs) {
        throw new FatalError(
          "unsupported",
          `containerd's CRI did not answer within ${limitMs / 1000} s: ${reason}`,
          {
            cause: error,
          },
        );
      }
      if (!told && passedMs >= quietMs) {
        told = true;
        logger.info("waiting for the container runtime", { reason });
      }
      await new Promise<void>((resolve) => void clock.setTimer(pauseMs, resolve));
    }
  }
}
