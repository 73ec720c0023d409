// Thread: main
// Where the CLI's log goes: stderr, a line a record, for people or as JSON.
import {
  configure,
  getJsonLinesFormatter,
  type LogRecord,
} from "@logtape/logtape";
import type { GlobalArgs } from "./args.ts";
import { printNote, useColor } from "./output.ts";

/** Configures LogTape for this process. */
export async function configureLogging(args: GlobalArgs): Promise<void> {
  const asJson = getJsonLinesFormatter();
  const colored = useColor(args.color);
  const print = (record: LogRecord) =>
    printNote(args.json ? asJson(record).trimEnd() : asText(record, colored));
  await configure({
    sinks: { stderr: print },
    loggers: [
      { category: "paddock", sinks: ["stderr"], lowestLevel: args.logLevel },
      {
        category: ["logtape", "meta"],
        sinks: ["stderr"],
        lowestLevel: "error",
      },
    ],
  });
}

function asText(record: LogRecord, colored: boolean): string {
  const [, category] = record.category;
  // A plugin's words may hold what a terminal would obey.
  const words = record.message.join("").replace(/\p{Cc}+/gu, " ");
  const text = `${record.level}: ${category}: ${words}`;
  if (!colored) return text;
  const color = record.level === "error" ? "31" : "33";
  return `\x1b[${color}m${text}\x1b[0m`;
}
