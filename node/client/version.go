package client

// Version is the version of the npm package socket.io-client that is embedded.
const Version = "4.8.4"
