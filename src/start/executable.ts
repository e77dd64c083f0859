// Whether the program is the single executable that `bun build --compile` makes. Then its modules and the files they
// import are inside it, below `$bunfs`, and no folder of the project needs to be on the disk.
export const isExecutable = Bun.main.includes('$bunfs')

/** The command of this program: the executable, or the runtime and its main file. */
export const program: string[] = isExecutable ? [process.execPath] : [process.execPath, Bun.main]
