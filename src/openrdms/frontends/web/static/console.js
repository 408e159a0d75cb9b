// Everything the console's pages do; each module says how a page uses it.

import "./actions.js";
import "./dialogs.js";
import "./live.js";
import "./plan.js";
import "./regions.js";
import "./screens.js";
import "./selection.js";
