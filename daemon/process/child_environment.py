"""What of the daemon's environment a child process gets: what its interpreter and libraries need, and no secret.

The daemon's own environment may hold Kafka's password, the registry's URL, keys of object storage, whatever its unit sets. A
training child reads texts of strangers and other people's base models: what it was never given it cannot give away. So an
allow-list, not a list of what to leave out: a secret that nobody here has heard of stays behind too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from config.keys import ENV_FILE_VARIABLE
from config.settings import Settings, environment_of
from config.tasks import TaskSpec
from trainers.hardware import usable_cores

_NAMES = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TZDIR", "TMPDIR", "TEMP", "TMP", "SQLITE_TMPDIR",
        "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV", "XDG_CACHE_HOME", "NO_COLOR",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
        # Where models lie, and whether they may be asked for; the token is not among them.
        "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_ENDPOINT", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DOWNLOAD_TIMEOUT",
        "HF_HUB_ETAG_TIMEOUT", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE", "TRANSFORMERS_OFFLINE",
        "TRANSFORMERS_VERBOSITY", "SENTENCE_TRANSFORMERS_HOME", "TOKENIZERS_PARALLELISM",
    }
)  # fmt: skip
"""By their whole names."""
_FAMILIES = (
    "LC_", "PYTHON", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "BLIS_", "NUMEXPR_", "RAYON_", "DNNL_", "ONEDNN_", "ATEN_",
    "TORCH_", "TORCHINDUCTOR_", "PYTORCH_", "CUDA_", "CUBLAS_", "CUDNN_", "NVIDIA_", "NCCL_", "HIP_", "ROCR_", "HSA_", "MALLOC_",
)  # fmt: skip
"""Knobs of the interpreter, of the numerical libraries, of accelerators and of the allocator."""
_LOOKS_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|PRIVATE|_AUTH", re.IGNORECASE)
_FOR_THE_HUB = frozenset(
    {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
)  # a proxy's address may hold a password
_PACKAGED = ("minilm", "blank:")


def for_training(task: TaskSpec, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what a training child of this task gets; the hub's token only where its base model may come from the hub."""
    kept = _plain(environment)
    if _may_need_the_hub(task.base_model):
        kept |= {name: value for name, value in environment.items() if name.upper() in _FOR_THE_HUB}
    return kept


def for_trackers(settings: Settings, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what a training child gets beside, for those who follow its losses: their own variables, secrets included."""
    families = {"mlflow": "MLFLOW_", "wandb": "WANDB_"}
    wanted = tuple(families[name] for name in settings.training.tracked_by if name in families)
    kept = {name: value for name, value in environment.items() if wanted and name.startswith(wanted)}
    if "mlflow" in settings.training.tracked_by and settings.mlflow.url:
        said = settings.mlflow
        secrets = {
            "MLFLOW_TRACKING_USERNAME": said.username, "MLFLOW_TRACKING_PASSWORD": said.password.get_secret_value(),
            "MLFLOW_TRACKING_TOKEN": said.token.get_secret_value(),
        }  # fmt: skip
        kept |= {"MLFLOW_TRACKING_URI": said.url} | {name: value for name, value in secrets.items() if value}
    return kept


def computing(kept: Mapping[str, str], threads: int) -> dict[str, str]:
    """Return what a child that computes gets: `kept`, and the size of its pools; 0 threads are all cores but one.

    Before numpy or torch start: their pools are sized at import. A thread of such a pool that waits gives its core up: while it
    spins, as it does where nothing is said, two threads beside another busy process take twice as long as they need.
    """
    count = str(threads or max(1, usable_cores() - 1))
    sized = {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "TOKENIZERS_PARALLELISM": "false"}
    return {"OMP_WAIT_POLICY": "PASSIVE"} | dict(kept) | sized


def for_sandbox(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what a sandbox gets, which opens a candidate: no secret at all."""
    return _plain(environment)


def for_serving(settings: Settings, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what the serving child gets: the settings in force, their secrets included, for it publishes to the event log."""
    kept = _plain(environment)
    if ENV_FILE_VARIABLE in environment:
        kept[ENV_FILE_VARIABLE] = environment[ENV_FILE_VARIABLE]
    return kept | environment_of(settings)


def _plain(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if name in _NAMES or (name.startswith(_FAMILIES) and not _LOOKS_SECRET.search(name))
    }


def _may_need_the_hub(base_model: str) -> bool:
    return not base_model.startswith(_PACKAGED) and not Path(base_model).exists()
