// Files of dependencies that are served as they are: imported with { type: 'file' } they are their path, also
// inside a compiled executable.
declare module 'swagger-ui-dist/*' {
  const path: string
  export default path
}
