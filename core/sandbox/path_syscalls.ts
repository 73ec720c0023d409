// Thread: any
// The system calls that do something with a file by its path: name, x86-64 number, which arguments are the path.

/** A path among the arguments, and the descriptor that it is relative to; none means the current folder. */
interface PathArgument {
  readonly path: number;
  readonly dir?: number;
}

export interface PathSyscall {
  readonly name: string;
  readonly number: number;
  readonly paths: readonly PathArgument[];
  /** Where it says what an open is for; all others change something. `how` is a pointer to struct open_how. */
  readonly open?: { readonly flags: number } | { readonly how: number };
}

export const PATH_SYSCALLS: readonly PathSyscall[] = [
  { name: "open", number: 2, paths: [{ path: 0 }], open: { flags: 1 } },
  {
    name: "openat",
    number: 257,
    paths: [{ dir: 0, path: 1 }],
    open: { flags: 2 },
  },
  {
    name: "openat2",
    number: 437,
    paths: [{ dir: 0, path: 1 }],
    open: { how: 2 },
  },
  { name: "creat", number: 85, paths: [{ path: 0 }] },
  { name: "truncate", number: 76, paths: [{ path: 0 }] },
  { name: "mkdir", number: 83, paths: [{ path: 0 }] },
  { name: "mkdirat", number: 258, paths: [{ dir: 0, path: 1 }] },
  { name: "rmdir", number: 84, paths: [{ path: 0 }] },
  { name: "unlink", number: 87, paths: [{ path: 0 }] },
  { name: "unlinkat", number: 263, paths: [{ dir: 0, path: 1 }] },
  { name: "rename", number: 82, paths: [{ path: 0 }, { path: 1 }] },
  {
    name: "renameat",
    number: 264,
    paths: [{ dir: 0, path: 1 }, { dir: 2, path: 3 }],
  },
  {
    name: "renameat2",
    number: 316,
    paths: [{ dir: 0, path: 1 }, { dir: 2, path: 3 }],
  },
  { name: "link", number: 86, paths: [{ path: 1 }] },
  { name: "linkat", number: 265, paths: [{ dir: 2, path: 3 }] },
  { name: "symlink", number: 88, paths: [{ path: 1 }] },
  { name: "symlinkat", number: 266, paths: [{ dir: 1, path: 2 }] },
];
