// Thread: any
// Sizes as the manifest writes them ("512M") and as the code uses them (bytes).

const UNITS = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 } as const;

/** The form of a size; at most nine digits, so that every match is exact as a number. */
export const SIZE_PATTERN = /^[0-9]{1,9}[KMG]$/;

/** Bytes of a text that matches SIZE_PATTERN. */
export function parseSize(text: string): number {
  const unit = UNITS[text.slice(-1) as keyof typeof UNITS];
  return Number(text.slice(0, -1)) * unit;
}

/** The shortest exact form: "512M"; "1000 bytes" where no unit divides it. */
export function formatSize(bytes: number): string {
  for (const unit of ["G", "M", "K"] as const) {
    if (bytes >= UNITS[unit] && bytes % UNITS[unit] === 0) {
      return `${bytes / UNITS[unit]}${unit}`;
    }
  }
  return `${bytes} bytes`;
}
