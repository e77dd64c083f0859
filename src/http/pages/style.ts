// The style sheet of the pages that links in mails lead to.

export const pageStyle = `:root { color-scheme: light; --ink: #1f2933; --muted: #5f6c7b; --line: #e2e7ec; --brand: #0b6e6e; --bad: #b42318; }
* { box-sizing: border-box; }
body { margin: 0; padding: 48px 16px; background: #f3f5f7; color: var(--ink); font: 16px/1.5 -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif; }
.brand { max-width: 440px; margin: 0 auto 12px; font-weight: 700; color: var(--brand); }
main { max-width: 440px; margin: 0 auto; padding: 28px; background: #fff; border: 1px solid var(--line); border-radius: 8px; }
h1 { margin: 0 0 12px; font-size: 22px; line-height: 28px; }
p { margin: 0 0 16px; }
main > :last-child, form > :last-child { margin-bottom: 0; }
ul { margin: 0 0 16px; padding-left: 20px; }
label { display: block; margin: 0 0 16px; font-weight: 600; font-size: 14px; }
input { display: block; width: 100%; margin-top: 6px; padding: 10px 12px; font: inherit; font-weight: 400; color: inherit; background: #fff; border: 1px solid #9aa7b4; border-radius: 6px; }
button { padding: 12px 22px; font: inherit; font-weight: 600; color: #fff; background: var(--brand); border: 0; border-radius: 6px; cursor: pointer; }
button:disabled { opacity: .6; cursor: default; }
input:focus-visible, button:focus-visible { outline: 3px solid #7cc5c5; outline-offset: 1px; }
small, .hint { color: var(--muted); font-size: 14px; }
[role=alert] { margin-top: 16px; color: var(--bad); }
[hidden] { display: none; }
`
