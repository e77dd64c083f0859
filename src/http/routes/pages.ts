// /api/pages: what links of accounts in mails open: verification, password reset, invitation. They change nothing by
// being opened; their script posts to /api/auth.
import { accountScript } from '../pages/account-script.ts'
import { pageAnswer, pageHeaders, type Page } from '../pages/page.ts'
import { pageStyle } from '../pages/style.ts'
import { bodyTag } from '../response.ts'
import { undocumented } from '../route.ts'
import { RouteGroup } from '../route-group.ts'

interface Confirmation {
  title: string
  /** The route that confirms, and the member of its body that takes the token. */
  post: string
  token: string
  intro: string
  fields?: string
  button: string
  done: string
  /** Whether the time zone of the browser is sent, too. */
  sendsTimeZone?: boolean
}

const passwordField = `        <label>Password
          <input type="password" name="password" autocomplete="new-password" required minlength="8" maxlength="128">
        </label>
`

const page = ({
  title,
  post,
  token,
  intro,
  fields = '',
  button,
  done,
  sendsTimeZone,
}: Confirmation): Page => ({
  title,
  hasScript: true,
  content: `      <form data-post="${post}" data-token="${token}"${sendsTimeZone ? ' data-time-zone' : ''}>
        <p>${intro}</p>
${fields}        <button disabled>${button}</button>
      </form>
      <p data-done hidden>${done}</p>
      <p role="alert" hidden></p>
      <noscript><p>This page needs JavaScript.</p></noscript>`,
})

const verification = page({
  title: 'Confirm your e-mail address',
  post: '/api/auth/email/verify/confirm',
  token: 'token',
  intro: 'Confirm that this address is yours, to receive notifications by mail.',
  button: 'Confirm address',
  done: 'Your address is confirmed. You can close this page.',
})

const passwordReset = page({
  title: 'Choose a new password',
  post: '/api/auth/password-reset/confirm',
  token: 'token',
  intro: 'The new password ends all sessions of your account.',
  fields: passwordField,
  button: 'Save password',
  done: 'Your password is changed. Sign in with it.',
})

const invitation = page({
  title: 'Accept the invitation',
  post: '/api/auth/register',
  token: 'invitation',
  intro: 'Create your account. Enter the address that received the invitation.',
  fields: `        <label>Name
          <input name="name" autocomplete="name" required maxlength="100">
        </label>
        <label>E-mail address
          <input type="email" name="email" autocomplete="email" required maxlength="254">
        </label>
${passwordField}`,
  button: 'Create account',
  done: 'Your account is created. Sign in with it.',
  sendsTimeZone: true,
})

export const pageRoutes = () => {
  const script = text('text/javascript', accountScript)
  const style = text('text/css', pageStyle)
  return new RouteGroup('/api/pages', { detail: undocumented({ access: 'public' }) })
    .get('/verify-email', () => pageAnswer(verification))
    .get('/reset-password', () => pageAnswer(passwordReset))
    .get('/accept-invitation', () => pageAnswer(invitation))
    .get('/account.js', () => script)
    .get('/page.css', () => style)
}

const text = (type: string, body: string) => bodyTag({ status: 200, headers: pageHeaders(type), body })
