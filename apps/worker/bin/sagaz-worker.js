#!/usr/bin/env node
import "../dist/main.js"; // a file of its own, so that it is there to be linked before anything is built
