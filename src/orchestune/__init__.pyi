from orchestune.sdk.asked_trials import OpenTrial as OpenTrial
from orchestune.sdk.experiments import Experiment as Experiment
from orchestune.sdk.optimizer import Optimizer as Optimizer
from orchestune.sdk.parameters import Params as Params
from orchestune.sdk.parameters import params as params
from orchestune.sdk.reporting import report as report
from orchestune.sdk.trial import Trial as Trial
from orchestune.sdk.trial_end import should_stop as should_stop
from orchestune.sdk.trial_files import checkpoint_dir as checkpoint_dir
from orchestune.sdk.trial_files import log_artifact as log_artifact
from orchestune.sdk.tuning import tune as tune
from orchestune.sdk.tuning import tune_async as tune_async

__all__: list[str]
__version__: str
