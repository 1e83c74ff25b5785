// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

interface IERC20 {
    function transferFrom(address from, address to, uint256 value) external returns (bool);
}

interface IPair {
    function token0() external view returns (address);
    function token1() external view returns (address);
    function getReserves() external view returns (uint112, uint112, uint32);
    function swap(uint256 out0, uint256 out1, address to) external;
}

/// Swaps an exact input along a path of tokens, one registered pair a hop.
contract Router {
    mapping(address => mapping(address => address)) public pairOf;

    error Expired();
    error PathTooShort();
    error NoPair(address a, address b);
    error OutputTooSmall(uint256 output, uint256 wanted);
    error TransferFailed();

    function register(address pair) external {
        (address a, address b) = (IPair(pair).token0(), IPair(pair).token1());
        pairOf[a][b] = pair;
        pairOf[b][a] = pair;
    }

    /// What `input` of one token buys of the other: the product of the reserves is kept after a fee of 0.3 %.
    function quote(uint256 input, uint256 reserveIn, uint256 reserveOut) public pure returns (uint256) {
        uint256 net = input * 997;
        return (net * reserveOut) / (reserveIn * 1000 + net);
    }

    function swapExactInput(uint256 input, uint256 wanted, address[] calldata path, address to, uint256 deadline)
        external
        returns (uint256[] memory amounts)
    {
        if (block.timestamp > deadline) revert Expired();
        if (path.length < 2) revert PathTooShort();
        amounts = new uint256[](path.length);
        address[] memory pairs = new address[](path.length - 1);
        amounts[0] = input;
        for (uint256 i = 0; i < pairs.length; i++) {
            address pair = pairOf[path[i]][path[i + 1]];
            if (pair == address(0)) revert NoPair(path[i], path[i + 1]);
            pairs[i] = pair;
            (uint256 reserve0, uint256 reserve1,) = IPair(pair).getReserves();
            amounts[i + 1] = path[i] < path[i + 1]
                ? quote(amounts[i], reserve0, reserve1)
                : quote(amounts[i], reserve1, reserve0);
        }
        if (amounts[pairs.length] < wanted) revert OutputTooSmall(amounts[pairs.length], wanted);

        if (!IERC20(path[0]).transferFrom(msg.sender, pairs[0], input)) revert TransferFailed();
        for (uint256 i = 0; i < pairs.length; i++) {
            address receiver = i + 1 < pairs.length ? pairs[i + 1] : to;
            bool ascending = path[i] < path[i + 1];
            uint256 output = amounts[i + 1];
            IPair(pairs[i]).swap(ascending ? 0 : output, ascending ? output : 0, receiver);
        }
    }
}
