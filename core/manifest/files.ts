// Thread: main
// Checks the files that a manifest names, and that nothing is written which something else uses.

import { ManifestError } from "../errors.ts";
import { resolve } from "./paths.ts";
import { hostReason, quote } from "./text.ts";

const SECTOR = 512;

interface Use {
  readonly field: string;
  readonly write: boolean;
}

/** The files of one manifest, each field's checked as it is added. */
export class FileSet {
  readonly #uses = new Map<string, Use>();

  /** A file to read: it must be regular, readable and not empty. Returns its size in bytes. */
  addInput(field: string, path: string): number {
    const info = stat(field, path);
    if (info === undefined) {
      throw new ManifestError(
        field,
        `there is no file ${quote(path)}; create it or correct the path`,
      );
    }
    checkUsable(field, path, info, false);
    if (info.size === 0) {
      throw new ManifestError(
        field,
        `${quote(path)} is empty; name a file with content`,
      );
    }
    this.#claim(identity(path, info), { field, write: false });
    return info.size;
  }

  /** A disk image: whole sectors, and absent only where it can be created. */
  addDisk(
    field: string,
    path: string,
    writable: boolean,
    createSize: number | undefined,
  ): void {
    const info = stat(field, path);
    if (info === undefined) {
      checkMissingDisk(field, path, writable, createSize);
    } else {
      checkUsable(field, path, info, writable);
      checkDiskSize(field, path, info.size);
    }
    this.#claim(identity(path, info), { field, write: writable });
  }

  /** A socket that somebody listens at, for one device. */
  addSocket(field: string, path: string): void {
    const info = stat(field, path);
    if (info === undefined) {
      throw new ManifestError(
        field,
        `there is no socket ${
          quote(path)
        }; start the program that serves the device, or correct the path`,
      );
    }
    if (!info.isSocket) {
      throw new ManifestError(
        field,
        `${
          quote(path)
        } is no socket; name the one of the program that serves the device`,
      );
    }
    const other = this.#uses.get(identity(path, info));
    if (other !== undefined) {
      throw new ManifestError(
        field,
        `is the socket of ${other.field} too; start a program for each device`,
      );
    }
    this.#uses.set(identity(path, info), { field, write: true });
  }

  #claim(id: string, use: Use): void {
    const other = this.#uses.get(id);
    if (other !== undefined && (other.write || use.write)) {
      throw new ManifestError(
        use.field,
        `is the same file as ${other.field}, and a device may write to it; name another file, or set "readOnly": true`,
      );
    }
    this.#uses.set(id, use);
  }
}

/** A file or folder that a device is to read: it must be there. */
export function checkThere(field: string, path: string): void {
  if (stat(field, path) !== undefined) return;
  throw new ManifestError(
    field,
    `there is no file or folder ${
      quote(path)
    }; create it, correct the path, or remove it from the list`,
  );
}

function checkMissingDisk(
  field: string,
  path: string,
  writable: boolean,
  createSize: number | undefined,
): void {
  if (createSize === undefined) {
    const remedy = writable
      ? 'add "size": "64M" to have it created'
      : "create it or correct the path";
    throw new ManifestError(
      field,
      `there is no file ${quote(path)}; ${remedy}`,
    );
  }
  const folder = resolve(path, "..");
  if (!isFolder(field, folder)) {
    throw new ManifestError(
      field,
      `there is no folder ${
        quote(folder)
      } to create the disk in; create it or correct the path`,
    );
  }
}

/** Also where it may not be looked at: making the disk tells. */
function isFolder(field: string, path: string): boolean {
  try {
    return statFolder(path)?.isDirectory ?? true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw unusable(field, path, "read", error);
  }
}

function checkDiskSize(field: string, path: string, bytes: number): void {
  if (bytes === 0) {
    throw new ManifestError(
      field,
      `${
        quote(path)
      } is empty; remove it and add "size": "64M" to have it created`,
    );
  }
  if (bytes % SECTOR !== 0) {
    throw new ManifestError(
      field,
      `${
        quote(path)
      } has ${bytes} bytes, which is not a multiple of ${SECTOR}; round it up with truncate -s %${SECTOR}`,
    );
  }
}

/** What tells one file from another: links to it count as the file. */
function identity(path: string, info: Deno.FileInfo | undefined): string {
  if (info !== undefined) return `${info.dev}:${info.ino}`;
  const folder = statFolder(resolve(path, ".."));
  if (!folder) return path;
  return `${folder.dev}:${folder.ino}/${path.slice(path.lastIndexOf("/") + 1)}`;
}

/** Null where Deno may not look: a process with the least flags may look at the disk alone. */
function statFolder(path: string): Deno.FileInfo | null {
  try {
    return Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return null;
    throw error;
  }
}

function stat(field: string, path: string): Deno.FileInfo | undefined {
  try {
    return Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw unusable(field, path, "read", error);
  }
}

/** Opens nothing but regular files: a FIFO would block. */
function checkUsable(
  field: string,
  path: string,
  info: Deno.FileInfo,
  write: boolean,
): void {
  if (!info.isFile) {
    const kind = info.isDirectory ? "a directory" : "not a regular file";
    throw new ManifestError(
      field,
      `${quote(path)} is ${kind}; name a regular file`,
    );
  }
  try {
    Deno.openSync(path, { read: true, write }).close();
  } catch (error) {
    const how = write ? "opened for writing" : "read";
    throw unusable(field, path, how, error);
  }
}

function unusable(
  field: string,
  path: string,
  how: string,
  error: unknown,
): ManifestError {
  let why = `${hostReason(error)}; correct the path`;
  if (error instanceof Deno.errors.NotCapable) {
    why =
      "Deno was started without the permission; add --allow-read and --allow-write";
  } else if (error instanceof Deno.errors.PermissionDenied) {
    why = "permission denied; change its mode, or run as a user who may";
  }
  return new ManifestError(
    field,
    `${quote(path)} cannot be ${how}: ${why}`,
    { cause: error },
  );
}
