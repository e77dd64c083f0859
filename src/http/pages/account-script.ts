// The script of the pages that confirm by a link: it takes the token from the fragment, which browsers send to no server,
// and posts it with what the form holds. Invariant: opening a page changes nothing, because mail scanners open links.

export const accountScript = `'use strict'
const form = document.querySelector('form')
const status = document.querySelector('[role=alert]')
const done = document.querySelector('[data-done]')
const token = new URLSearchParams(location.hash.slice(1)).get('token') ?? ''

const fail = (text) => {
  status.textContent = text
  status.hidden = false
}

if (token === '') {
  form.hidden = true
  fail('The address is incomplete. Open the link in the mail again.')
} else form.querySelector('button').disabled = false

form.addEventListener('submit', async (event) => {
  event.preventDefault()
  status.hidden = true
  const body = { [form.dataset.token]: token }
  for (const [name, value] of new FormData(form)) body[name] = value
  if ('timeZone' in form.dataset) body.timeZone = Intl.DateTimeFormat().resolvedOptions().timeZone
  const button = form.querySelector('button')
  button.disabled = true
  try {
    const answer = await fetch(form.dataset.post, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      credentials: 'omit',
      signal: AbortSignal.timeout(20_000),
    })
    if (answer.ok) {
      form.hidden = true
      done.hidden = false
      history.replaceState(null, '', location.pathname)
      return
    }
    const problem = await answer.json()
    const [violation] = problem.errors ?? []
    const field = violation && form.elements.namedItem(violation.pointer.slice(1))
    if (field) field.focus()
    fail(field && field.labels[0] ? field.labels[0].firstChild.textContent.trim() + ' ' + violation.detail + '.' : problem.title + '.')
  } catch {
    fail('The server cannot be reached. Try again.')
  }
  button.disabled = false
})
`
