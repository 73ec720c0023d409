// The options of the block device, and the one file that they open to it.

import * as v from "valibot";
import { builtIn } from "../../core/manifest/built_in.ts";
import { flag, path, size, text } from "../../core/manifest/fields.ts";
import { parseSize } from "../../core/manifest/size.ts";

const SECTOR = 512;
const TiB = 2 ** 40;

export const block = builtIn(
  new URL("./mod.ts", import.meta.url).href,
  {
    path: path('the disk image, a path such as "disk.img"'),
    size: v.optional(
      size(
        1024,
        TiB,
        SECTOR * 2,
        "the size of the image to create where it is missing",
      ),
    ),
    readOnly: v.optional(flag("the guest may not write to the disk"), false),
    serial: v.optional(
      text(
        /^[\x20-\x7e]{1,20}$/,
        "the disk's serial, 1 to 20 printable ASCII characters",
      ),
    ),
  },
  (options, absolute) => {
    const { readOnly, size, serial = "" } = options;
    const path = absolute(options.path);
    return {
      options: { path, readOnly, serial },
      permissions: readOnly
        ? { read: [path] }
        : { read: [path], write: [path] },
      disk: {
        field: "path",
        path,
        writable: !readOnly,
        // An empty disk that nobody can write to is a mistake in the path.
        createSize: readOnly || size === undefined
          ? undefined
          : parseSize(size),
      },
    };
  },
);
