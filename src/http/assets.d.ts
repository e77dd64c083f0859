// Files of dependencies that are served unchanged: an import with { type: 'file' } is the path of the file, also inside
// a compiled executable.
declare module 'swagger-ui-dist/*' {
  const path: string
  export default path
}
