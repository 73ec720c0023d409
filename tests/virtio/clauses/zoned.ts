// §5.2.5.2 and §5.2.6.2 for zoned block devices, which ours are not. Numbered on from devices.ts.
import type { Clause, Level } from "./clause.ts";

const INITIALIZATION: readonly (readonly [Level, string])[] = [
  ["SHOULD", "goes on with all zone fields 0 for a driver without ZONED"],
  ["MUST", "refuses FEATURES_OK without ZONED where it is host-managed"],
  ["MUST", "says in model what kind of zones it has"],
  ["MUST", "has a zone's size in zone_sectors"],
  ["MUST", "has the number of zones that can be open in max_open_zones"],
  ["MUST", "has the number of zones that can be active in max_active_zones"],
  ["MUST", "has the largest append in max_append_sectors"],
  ["MUST", "keeps that within seg_max times size_max"],
  ["MUST", "has the grain of writes in write_granularity"],
  ["MUST", "has 0 in the padding of the zone fields"],
];

const OPERATION: readonly (readonly [Level, string])[] = [
  ["MUST", "refuses zone management of a conventional zone"],
  ["MUST", "refuses an append to a zone that is not sequential"],
  ["MUST", "refuses to open a zone that cannot be opened"],
  ["MUST", "says so where resources for an open zone are lacking"],
  ["MUST", "refuses to close a zone that cannot be closed"],
  ["MUST", "refuses to finish a zone that cannot be finished"],
  ["MUST", "refuses to reset a zone that cannot be reset"],
  ["MUST", "says so where resources for an implicitly open zone are lacking"],
  ["MUST", "refuses an append that does not name a zone's first sector"],
  ["MUST", "refuses what exceeds the room that is left in a zone"],
  ["MUST", "says where an append went"],
  ["MUST", "does not support appends where max_append_sectors is 0"],
  ["MUST", "refuses an append above max_append_sectors"],
  ["MUST", "refuses requests across the border of zones"],
  ["MUST", "says so where a write is not at the write pointer"],
  ["MUST", "refuses writes to a read-only zone"],
  ["MUST", "refuses everything in an offline zone"],
  ["MUST", "takes what is behind the write pointer for unwritten"],
  ["MUST", "fills unwritten data with a pattern, or fails the read"],
  ["MUST", "aligns secure erase to zones"],
  ["MUST", "asks for secure erases of whole zones"],
  ["MUST", "does a secure erase as it resets zones"],
];

function notZoned(
  section: string,
  after: number,
  rows: readonly (readonly [Level, string])[],
): Clause[] {
  return rows.map(([level, says], i) => ({
    clause: `${section}-${after + i + 1}`,
    section,
    level,
    says,
    notApplicable: "VIRTIO_BLK_F_ZONED is not offered",
  }));
}

export const ZONED = [
  ...notZoned("5.2.5.2", 6, INITIALIZATION),
  ...notZoned("5.2.6.2", 13, OPERATION),
];
