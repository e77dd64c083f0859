// Preloaded into a process that is measured: SIGUSR2 collects its garbage, so that what is left is in use.
process.on('SIGUSR2', () => Bun.gc(true))
