# What `import lilliput` offers, by the room it lives in.

from .compare import (
    Comparison as Comparison,
    compare as compare,
)
from .compress import (
    compress as compress,
)
from .core import (
    Accuracy as Accuracy,
    Artifact as Artifact,
    Budget as Budget,
    LilliputError as LilliputError,
    Measurement as Measurement,
    Model as Model,
    Pass as Pass,
    QuantizationRules as QuantizationRules,
    Target as Target,
    Task as Task,
    run as run,
)
from .core.data import (
    data_dir as data_dir,
)
from .diagnose import (
    Diagnosis as Diagnosis,
    diagnose as diagnose,
)
from .edit import (
    ChannelSvd as ChannelSvd,
    DilateInstead as DilateInstead,
    FactorizeLayers as FactorizeLayers,
    FuseBatchNorm as FuseBatchNorm,
    MoveStride as MoveStride,
    Narrow as Narrow,
    PoolFirst as PoolFirst,
    Reinitialize as Reinitialize,
    SeparateConvolutions as SeparateConvolutions,
    ShrinkKernels as ShrinkKernels,
    SpatialSvd as SpatialSvd,
    Svd as Svd,
    Tucker as Tucker,
)
from .export import (
    export as export,
    load as load,
    parity as parity,
)
from .graph import (
    channel_groups as channel_groups,
    cost as cost,
    fold_batch_norm as fold_batch_norm,
    peak_memory as peak_memory,
    sensitivity as sensitivity,
    trace as trace,
    unfolded_state as unfolded_state,
)
from .measure import (
    Reference as Reference,
    measure as measure,
)
from .pack import (
    PackedModel as PackedModel,
    Quantized as Quantized,
    apply_delta as apply_delta,
    delta as delta,
    load_packed as load_packed,
    pack as pack,
    pack_model as pack_model,
    requantize as requantize,
    unpack as unpack,
    unpack_model as unpack_model,
)
from .prune import (
    AcrossLayers as AcrossLayers,
    BatchNormScale as BatchNormScale,
    BySensitivity as BySensitivity,
    ErdosRenyiKernel as ErdosRenyiKernel,
    FilterNorm as FilterNorm,
    Fisher as Fisher,
    FixMasks as FixMasks,
    GeometricMedian as GeometricMedian,
    GradualPruning as GradualPruning,
    GroupSparsity as GroupSparsity,
    HoldZeros as HoldZeros,
    Magnitude as Magnitude,
    MovementPruning as MovementPruning,
    NOfM as NOfM,
    PerLayer as PerLayer,
    PruneChannels as PruneChannels,
    PruneHeads as PruneHeads,
    PruneSecondOrder as PruneSecondOrder,
    PruneVocabulary as PruneVocabulary,
    PruneWeights as PruneWeights,
    Random as Random,
    RemoveBlocks as RemoveBlocks,
    RemoveSimilarBlocks as RemoveSimilarBlocks,
    Rewind as Rewind,
    ScaleSparsity as ScaleSparsity,
    ScoreMovement as ScoreMovement,
    ShuffleMasks as ShuffleMasks,
    Taylor as Taylor,
    Unstructured as Unstructured,
    WeightBlocks as WeightBlocks,
    block_similarity as block_similarity,
    removable_blocks as removable_blocks,
    sparsity_of as sparsity_of,
)
from .quantize import (
    AverageBits as AverageBits,
    ClusterWeights as ClusterWeights,
    ConvertFloat as ConvertFloat,
    CorrectBias as CorrectBias,
    CorrectBiasFromStatistics as CorrectBiasFromStatistics,
    Entropy as Entropy,
    EqualizeLayers as EqualizeLayers,
    LayerCosts as LayerCosts,
    LearnRanges as LearnRanges,
    LearnRounding as LearnRounding,
    LowerBits as LowerBits,
    MeanSquaredError as MeanSquaredError,
    MigrateScales as MigrateScales,
    MinMax as MinMax,
    Percentile as Percentile,
    PerChannel as PerChannel,
    PerGroup as PerGroup,
    PerTensor as PerTensor,
    Precision as Precision,
    QuantizeAware as QuantizeAware,
    QuantizeCoded as QuantizeCoded,
    QuantizeCodedAware as QuantizeCodedAware,
    QuantizeDynamic as QuantizeDynamic,
    QuantizeMixed as QuantizeMixed,
    QuantizeStatic as QuantizeStatic,
    QuantizeWeights as QuantizeWeights,
    RamBytes as RamBytes,
    RatePenalty as RatePenalty,
    ReconstructBlocks as ReconstructBlocks,
    RoundSecondOrder as RoundSecondOrder,
    SettleCoded as SettleCoded,
    WeightBytes as WeightBytes,
    allot_bits as allot_bits,
    bit_sensitivity as bit_sensitivity,
    bits_front as bits_front,
    estimate_bit_sensitivity as estimate_bit_sensitivity,
    palettes as palettes,
)
from .registry import (
    Family as Family,
    Store as Store,
    Variant as Variant,
)
from .report import (
    report as report,
)
from .search.latency.narrow import (
    NarrowToLatency as NarrowToLatency,
)
from .simulate import (
    simulate as simulate,
)
from .targets import (
    get_target as get_target,
    target_names as target_names,
)
from .train import (
    CutMix as CutMix,
    Distill as Distill,
    DistillLayers as DistillLayers,
    FineTune as FineTune,
    MeanSquaredErrorMatch as MeanSquaredErrorMatch,
    RecalibrateNorms as RecalibrateNorms,
    SoftTargets as SoftTargets,
)

__version__: str
