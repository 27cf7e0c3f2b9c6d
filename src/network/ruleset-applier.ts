/**
 * The service proxy's shell: compiles the current objects and hands the difference to nftables in one
 * transaction. The first application replaces the table, and so does every one after a refusal, because
 * then the kernel's state is no longer known. Connections live on through both.
 */
import type { Logger } from "#base/ports.ts";
import type { RunCommand } from "./command.ts";
import { renderChange, renderRuleset } from "./ruleset.ts";
import type { Ruleset } from "./ruleset.ts";

export class RulesetApplier {
  readonly #run: RunCommand;
  readonly #logger: Logger;
  #applied: Ruleset | undefined;

  constructor(run: RunCommand, logger: Logger) {
    this.#run = run;
    this.#logger = logger;
  }

  async apply(desired: Ruleset): Promise<void> {
    const before = this.#applied;
    this.#applied = undefined;
    if (before !== undefined && !(await this.#tableExists(desired.table))) {
      this.#logger.warn("nftables table was removed by someone else, restoring it", { table: desired.table });
      return this.#replace(desired);
    }
    if (before === undefined) return this.#replace(desired);
    const change = renderChange(before, desired);
    if (change !== "") await this.#run("nft", ["-f", "-"], change);
    this.#applied = desired;
  }

  /** Removes the table, whether it is there or not. */
  async remove(table: string): Promise<void> {
    this.#applied = undefined;
    await this.#run("nft", ["-f", "-"], `add table ${table}\ndelete table ${table}\n`);
  }

  async #replace(desired: Ruleset): Promise<void> {
    await this.#run("nft", ["-f", "-"], renderRuleset(desired));
    this.#applied = desired;
  }

  async #tableExists(table: string): Promise<boolean> {
    return (await this.#run("nft", ["list", "tables"])).split("\n").includes(`table ${table}`);
  }
}
