// Thread: main
// Log records by LogTape. It takes 10 ms to load, so it is loaded with the first record, not with the VM.

export type LogLevel = "debug" | "info" | "warning" | "error";

let setUp: () => Promise<void> = () => Promise.resolve();
let ready: Promise<unknown> | null = null;

/** Has `configure` run before the first record. Without it, records go where the embedder's LogTape sends them. */
export function beforeFirstRecord(configure: () => Promise<void>): void {
  setUp = configure;
}

/** Writes a record of the category ["paddock", category]. */
export async function log(
  level: LogLevel,
  category: string,
  message: string,
  properties: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  try {
    await (ready ??= setUp());
    const { getLogger } = await import("@logtape/logtape");
    // The message may quote the guest: it is an argument, not a template.
    getLogger(["paddock", category])[level]("{text}", {
      text: message,
      ...properties,
    });
  } catch {
    // A log that cannot be written must not end the VM.
  }
}
