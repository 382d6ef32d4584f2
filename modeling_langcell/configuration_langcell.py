"""Configuration of the two encoders and of the model that joins them."""

from typing import Any

import transformers
from transformers.configuration_utils import PretrainedConfig

LOWEST_TRANSFORMERS = "5.5"
# Here, because of a model folder's files this is the first that is read. Older ones fill and load other weights.
if tuple(map(int, transformers.__version__.split(".")[:2])) < tuple(map(int, LOWEST_TRANSFORMERS.split("."))):
    raise ImportError(
        f"LangCell needs transformers {LOWEST_TRANSFORMERS} or later, and this is {transformers.__version__}: "
        f'pip install -U "transformers>={LOWEST_TRANSFORMERS}"'
    )

AUTO_MAP = {
    "AutoConfig": "configuration_langcell.LangCellConfig",
    "AutoModel": "modeling_langcell.LangCellModel",
    "AutoModelForPreTraining": "modeling_langcell.LangCellForPreTraining",
    "AutoModelForSequenceClassification": "modeling_langcell.LangCellForCellClassification",
}
# What `pipeline(task, model=...)` finds. A model that was loaded as another class of AUTO_MAP can be given to it, too.
CUSTOM_PIPELINES = {
    task: {"impl": "pipeline_langcell.LangCellPipeline", "pt": ["AutoModel"]}
    for task in ("zero-shot-cell-annotation", "feature-extraction")
}


def _check_pooling(pooling: str) -> None:
    if pooling not in ("cls", "mean"):
        raise ValueError(f"pooling is {pooling!r}; legal are 'cls' and 'mean'.")


class LangCellCellConfig(PretrainedConfig):
    """The cell encoder: a BERT over ranked genes (defaults: Geneformer V1, as in the released LangCell).

    Field names are those of BertConfig, because the encoder is transformers' BertModel.

    Args:
        pooling: how one vector is read from the states of a cell: "cls" (position 0, as released) or "mean" (over
            `<cls>` and genes: what an encoder of few layers learns fastest).
    """

    model_type = "langcell_cell"
    base_config_key = "cell_config"

    def __init__(
        self,
        vocab_size: int = 25427,
        hidden_size: int = 512,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 8,
        intermediate_size: int = 1024,
        hidden_act: str = "relu",
        hidden_dropout_prob: float = 0.02,
        attention_probs_dropout_prob: float = 0.02,
        max_position_embeddings: int = 2048,
        type_vocab_size: int = 2,
        initializer_range: float = 0.02,
        layer_norm_eps: float = 1e-12,
        pad_token_id: int = 0,
        mask_token_id: int = 1,
        cls_token_id: int | None = None,
        pooling: str = "cls",
        **kwargs: Any,
    ):
        _check_pooling(pooling)
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.hidden_act = hidden_act
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.max_position_embeddings = max_position_embeddings
        self.type_vocab_size = type_vocab_size
        self.initializer_range = initializer_range
        self.layer_norm_eps = layer_norm_eps
        self.pooling = pooling
        self.mask_token_id = mask_token_id
        # `<cls>` is the last row of the table.
        self.cls_token_id = vocab_size - 1 if cls_token_id is None else cls_token_id
        # What BertModel asks of its config beyond the sizes: an encoder that never generates.
        self.is_decoder = False
        self.add_cross_attention = False
        self.use_cache = False
        super().__init__(pad_token_id=pad_token_id, **kwargs)  # pyright: ignore[reportCallIssue]  # kept as an attribute


class LangCellTextConfig(PretrainedConfig):
    """The text encoder: a BERT whose layers can also attend to a cell (defaults: PubMedBERT, as released).

    Args:
        cross_attention_start: first layer with cross-attention; 0, as released, gives it to every layer.
        pooling: how a text embedding is read from the states: "cls" (position 0, as released) or "mean" (over tokens,
            for text towers trained that way, such as MiniLM). The match always reads position 0.
    """

    model_type = "langcell_text"
    base_config_key = "text_config"

    def __init__(
        self,
        vocab_size: int = 30524,
        hidden_size: int = 768,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        hidden_act: str = "gelu",
        hidden_dropout_prob: float = 0.1,
        attention_probs_dropout_prob: float = 0.1,
        max_position_embeddings: int = 512,
        initializer_range: float = 0.02,
        layer_norm_eps: float = 1e-12,
        pad_token_id: int = 0,
        cross_attention_start: int = 0,
        pooling: str = "cls",
        **kwargs: Any,
    ):
        _check_pooling(pooling)
        if not 0 <= cross_attention_start < num_hidden_layers:
            raise ValueError(
                f"cross_attention_start is {cross_attention_start}; legal are 0 to {num_hidden_layers - 1}, the layers."
            )
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.hidden_act = hidden_act
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.max_position_embeddings = max_position_embeddings
        self.initializer_range = initializer_range
        self.layer_norm_eps = layer_norm_eps
        self.cross_attention_start = cross_attention_start
        self.pooling = pooling
        super().__init__(pad_token_id=pad_token_id, **kwargs)  # pyright: ignore[reportCallIssue]  # kept as an attribute


class LangCellConfig(PretrainedConfig):
    """Both encoders, the shared space and the way scores are made.

    Args:
        cell_config: LangCellCellConfig or its dict.
        text_config: LangCellTextConfig or its dict.
        projection_dim: size of the shared space.
        logit_temperature: similarity is cos / temperature.
        alpha: default weight of the similarity in the score; the match has 1 - alpha.
        vocabulary_fingerprint: fingerprint of the gene vocabulary that the weights belong to.
        training_cell_types: Cell Ontology ids that the model saw in training.

    >>> LangCellConfig(cell_config={"hidden_size": 64}).cell_config.hidden_size
    64
    """

    model_type = "langcell"
    # What `Trainer` does not collect over an evaluation: states of every gene and token.
    keys_to_ignore_at_inference = ["cell_model_output", "text_model_output"]  # noqa: RUF012
    # The idiom that 5.0 and 5.23 both read; 5.23 declares it as a property.
    sub_configs = {  # noqa: RUF012  # pyright: ignore[reportAssignmentType]
        "cell_config": LangCellCellConfig,
        "text_config": LangCellTextConfig,
    }

    def __init__(
        self,
        cell_config: LangCellCellConfig | dict[str, Any] | None = None,
        text_config: LangCellTextConfig | dict[str, Any] | None = None,
        projection_dim: int = 256,
        logit_temperature: float = 0.05,
        alpha: float = 0.1,
        vocabulary_fingerprint: str | None = None,
        training_cell_types: list[str] | None = None,
        **kwargs: Any,
    ):
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha is {alpha}; legal are 0 (match only) to 1 (similarity only).")
        # A dict, because from a local folder config and model code are loaded as two modules with two such classes.
        if not isinstance(cell_config, PretrainedConfig):
            cell_config = LangCellCellConfig(**(cell_config or {}))
        if not isinstance(text_config, PretrainedConfig):
            text_config = LangCellTextConfig(**(text_config or {}))
        self.cell_config = cell_config
        self.text_config = text_config
        self.projection_dim = projection_dim
        self.logit_temperature = logit_temperature
        self.alpha = alpha
        self.vocabulary_fingerprint = vocabulary_fingerprint
        self.training_cell_types = training_cell_types
        # Complete from the start: saving one class would only name that one, and AutoModel of a pre-training
        # checkpoint would not find its code.
        kwargs.setdefault("auto_map", dict(AUTO_MAP))
        kwargs.setdefault("custom_pipelines", {task: dict(facts) for task, facts in CUSTOM_PIPELINES.items()})
        super().__init__(**kwargs)


LangCellConfig.register_for_auto_class()
