// Thread: main
// Log records by LogTape. It takes 10 ms to load, so it is loaded with the first record, not with the VM.

export type LogLevel = "debug" | "info" | "warning" | "error";

/** Writes a record of the category ["paddock", …]. The embedder configures LogTape; without that it is silent. */
export async function log(
  level: LogLevel,
  category: string,
  message: string,
  properties: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  const { getLogger } = await import("@logtape/logtape");
  getLogger(["paddock", category])[level](message, { ...properties });
}
