// The sign-in page of the board. The access token of an administrator becomes a cookie of /admin that scripts cannot
// read; the page of the board renews it while it is open.

export const signInPage = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="robots" content="noindex">
    <title>Tasktide: sign in</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="/admin/sign-in.css">
    <script src="/admin/sign-in.js" defer></script>
  </head>
  <body>
    <form id="sign-in">
      <h1>Tasktide jobs</h1>
      <label>E-mail <input name="email" type="email" autocomplete="username" required></label>
      <label>Password <input name="password" type="password" autocomplete="current-password" required></label>
      <button>Sign in</button>
      <p id="message" role="alert"></p>
    </form>
    <noscript>This page needs JavaScript.</noscript>
  </body>
</html>
`

export const signInStyle = `body { font: 16px/1.5 system-ui, sans-serif; display: grid; place-items: center; min-height: 90vh; }
form { display: grid; gap: 1rem; width: 20rem; max-width: 90vw; }
h1 { font-size: 1.25rem; margin: 0; }
label { display: grid; gap: 0.25rem; }
input, button { font: inherit; padding: 0.5rem; }
#message { min-height: 1.5em; margin: 0; color: #b00020; }
`

export const signInScript = `const form = document.getElementById('sign-in')
const message = document.getElementById('message')
const json = { 'Content-Type': 'application/json' }
form.addEventListener('submit', async (event) => {
  event.preventDefault()
  message.textContent = ''
  try {
    const body = JSON.stringify(Object.fromEntries(new FormData(form)))
    const signedIn = await fetch('/api/auth/login', { method: 'POST', headers: json, body })
    const answer = await signedIn.json()
    if (!signedIn.ok) throw new Error(answer.title)
    const headers = { Authorization: 'Bearer ' + answer.accessToken }
    const opened = await fetch('/admin/session', { method: 'POST', headers })
    if (!opened.ok) throw new Error('Only administrators may see the jobs')
    location.href = '/admin/queues'
  } catch (error) {
    message.textContent = error.message
  }
})
`

/** Every ten minutes: an access token lives for fifteen. */
export const keepSignedInScript = `setInterval(async () => {
  const renewed = await fetch('/api/auth/refresh', { method: 'POST' })
  if (!renewed.ok) return
  const { accessToken } = await renewed.json()
  await fetch('/admin/session', { method: 'POST', headers: { Authorization: 'Bearer ' + accessToken } })
}, 600000)
`
