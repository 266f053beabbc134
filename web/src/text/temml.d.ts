// The sources that the package ships, without its chemistry: half the size of its bundle.
declare module 'temml/temml.js' {
    export { default } from 'temml';
}
