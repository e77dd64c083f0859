// A real Chromium for the tests of pages: the machine's own, or, for root on Debian and Ubuntu, installed once.
// Where there is none the tests fail with the way to install one: a page that no browser opened is not tested.
import { chromium, type Browser } from 'playwright-core'

/** For the hook that starts a browser: the first time may download it. */
export const browserTimeoutMs = 300_000

const names = [
  'chromium',
  'chromium-browser',
  'google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
]

const onPath = (): string | undefined => names.map((name) => Bun.which(name)).find((path) => path !== null)

const aptGet = async (...args: string[]): Promise<boolean> => {
  const options = ['-qq', '--yes', '-o', 'DPkg::Lock::Timeout=120']
  const child = Bun.spawn(['apt-get', ...options, ...args], {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    stdio: ['ignore', 'ignore', 'inherit'],
    timeout: 240_000,
  })
  return (await child.exited) === 0
}

const install = async (): Promise<void> => {
  if (process.getuid?.() !== 0 || !Bun.which('apt-get')) return
  console.log('Installing Chromium for the tests of pages (once) …')
  const packageNames = ['--no-install-recommends', 'chromium']
  if (!(await aptGet('install', ...packageNames)) && (await aptGet('update')))
    await aptGet('install', ...packageNames)
}

/** A headless browser that connects only to the pages it opens. Close it. */
export const startBrowser = async (): Promise<Browser> => {
  if (!onPath()) await install()
  const executablePath = onPath()
  if (!executablePath)
    throw new Error('No Chromium in PATH: install one, for example `apt-get install chromium`')
  return chromium.launch({
    executablePath,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
}
