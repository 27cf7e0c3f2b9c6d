/**
 * The checksum that each row of the history carries: SQLite notices damage to its own structures, not a bit that
 * flips within a value. It is made when a row is written and compared when the whole row is read. It stays in its
 * own database: snapshots have checksums of their own, and the receiver makes its rows' anew.
 */

import { crc32 } from "node:zlib";
import { FatalError } from "#base/errors.ts";
import type { HistoryRow } from "./tables.ts";

/** What is wrong with a row that is not as it was written. One without a checksum is not compared. */
export function damageOf(row: HistoryRow): FatalError | undefined {
  if (row.checksum === null || row.checksum === rowChecksum(row)) return undefined;
  return new FatalError(
    "corrupt",
    `the datastore's state is damaged: row ${row.id}, of the key ${JSON.stringify(row.key)}, is not as it was written`,
  );
}

/** CRC-32 of all but the row's number. */
export function rowChecksum(row: Omit<HistoryRow, "id" | "checksum">): number {
  const { key, revision, create_revision: created, version, lease, value } = row;
  return crc32(value, crc32(`${key}\0${revision}\0${created}\0${version}\0${lease}`));
}
