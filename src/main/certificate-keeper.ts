/** A node that runs for years: looks at its certificates once a day, and has those near their end renewed. */
import type { Clock, Logger, Timer } from "#base/ports.ts";
import type { Running } from "./serve.ts";

export interface CertificateKeeperOptions {
  clock: Clock;
  logger: Logger;
  /** Issues what is due as of this time, puts it to use, and returns what was renewed. */
  renew: (nowMs: number) => Promise<string[]>;
}

const lookEveryMs = 24 * 60 * 60 * 1000;

/** Looks at once and then daily. A failure is logged and tried again the next day: there are weeks left. */
export function keepCertificates({ clock, logger, renew }: CertificateKeeperOptions): Running {
  let timer: Timer | undefined;
  let closed = false;
  const look = async (): Promise<void> => {
    try {
      const renewed = await renew(clock.nowMs());
      if (renewed.length > 0) logger.info("certificates were renewed", { renewed });
    } catch (error) {
      logger.error("certificates could not be renewed; it is tried again in a day", { error: String(error) });
    }
    if (!closed) timer = clock.setTimer(lookEveryMs, () => (looking = look()));
  };
  let looking = look();
  return {
    async close() {
      closed = true;
      timer?.cancel();
      await looking;
    },
  };
}
