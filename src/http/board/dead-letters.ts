// The page of dead letters: what consumers gave up on, and a button for each that handles it again. Everything of a letter
// is shown as text.

export const deadLettersPage = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="robots" content="noindex">
    <title>Tasktide: dead letters</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="/admin/dead-letters.css">
    <script src="/admin/keep-signed-in.js" defer></script>
    <script src="/admin/dead-letters.js" defer></script>
  </head>
  <body>
    <h1>Dead letters</h1>
    <p>Entries of the log that a consumer could not handle. Requeuing handles an entry again, once its cause is gone;
      its effects happen exactly once. <a href="/admin/queues">Job queues</a></p>
    <p id="message" role="status">Loading</p>
    <table hidden>
      <thead>
        <tr><th>Failed at</th><th>Consumer</th><th>Entry</th><th>Type</th><th>Attempts</th><th>Error</th><td></td></tr>
      </thead>
      <tbody></tbody>
    </table>
    <noscript>This page needs JavaScript.</noscript>
  </body>
</html>
`

export const deadLettersStyle = `body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }
h1 { font-size: 1.25rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.875rem; }
th, td { text-align: left; vertical-align: top; padding: 0.375rem 0.5rem; border-bottom: 1px solid #ddd; overflow-wrap: anywhere; }
button { font: inherit; padding: 0.25rem 0.75rem; }
`

export const deadLettersScript = `const table = document.querySelector('table')
const rows = document.querySelector('tbody')
const message = document.getElementById('message')

const call = async (path, method) => {
  const answer = await fetch(path, { method })
  const body = await answer.json()
  if (!answer.ok) throw new Error(body.detail ?? body.title)
  return body
}

const texts = {
  requeued: 'was handled',
  missing: 'was requeued or removed already',
  unknown: 'has a consumer that this version does not have',
}

const requeue = async ({ consumer, shard, seq }, row, button) => {
  button.disabled = true
  const name = consumer + ' ' + shard + '.' + seq
  try {
    const path = '/admin/dead-letters/' + encodeURIComponent(consumer) + '/' + shard + '.' + seq + '/requeue'
    const { outcome, error } = await call(path, 'POST')
    message.textContent = name + ' ' + (texts[outcome] ?? 'failed again: ' + error)
    if (outcome === 'requeued' || outcome === 'missing') row.remove()
  } catch (error) {
    message.textContent = name + ': ' + error.message
  }
  button.disabled = false
}

const show = (letter) => {
  const { failedAt, consumer, shard, seq, type, attempts, error } = letter
  const row = rows.insertRow()
  for (const text of [failedAt, consumer, shard + '.' + seq, type, attempts, error])
    row.insertCell().textContent = text
  const button = document.createElement('button')
  button.textContent = 'Requeue'
  button.addEventListener('click', () => requeue(letter, row, button))
  row.insertCell().append(button)
}

call('/admin/dead-letters/list', 'GET').then(
  ({ letters }) => {
    letters.forEach(show)
    table.hidden = letters.length === 0
    message.textContent = letters.length === 0 ? 'No dead letters' : ''
  },
  (error) => {
    message.textContent = error.message
  },
)
`
