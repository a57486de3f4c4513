// The plots of a report: the Analysis tab of the experiment's page.

import { byId } from "../lib/dom.js";
import { mount } from "../tabs/analysis.js";
import { documents } from "./documents.js";

mount(byId("plots"), documents.status);
