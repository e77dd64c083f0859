// Lua scripts are imported with { type: 'text' }: the bundler puts their text into a compiled executable.
declare module '*.lua' {
  const text: string
  export default text
}
